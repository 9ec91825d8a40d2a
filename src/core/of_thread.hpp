#pragma once
// What a thread keeps for itself and gives up when it ends.

#include <new>
#include <utility>

namespace xtape::detail {

// The calling thread's State: made when the thread first asks for it, destroyed when the thread ends.
//
// Objects of static storage, handlers of atexit, and thread-locals that were made before, end later than that, and may
// still compute: they get null, and must do without. So every thread-local of the library that has a destructor is one
// of these. All others are constinit and have none: they can be used for as long as the thread runs any code.
//
// Pointers and flags alone are thread-local: a library that is loaded late has little room for such variables.
template <class State> class OfThread {
 public:
  // Null if the thread has ended, or there is no memory for it.
  static State* get() noexcept { return state ? state : make(); }

 private:
  struct AtEnd {
    ~AtEnd() {
      ended = true;
      delete std::exchange(state, nullptr);
    }
  };
  [[gnu::noinline]] static State* make() noexcept {
    if (ended) return nullptr;
    state = new (std::nothrow) State;
    if (state) thread_local const AtEnd at_end;
    return state;
  }

  static constinit inline thread_local State* state = nullptr;
  static constinit inline thread_local bool ended = false;
};

}  // namespace xtape::detail
