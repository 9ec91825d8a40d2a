#pragma once
// What a tape does beside recording, if asked to: hooks, a profile, the search for NaN and infinity.

#include <xtape/profile.hpp>

#include "recording.hpp"

#include <algorithm>
#include <deque>
#include <initializer_list>
#include <map>
#include <utility>

namespace xtape::detail {

using Hook = std::function<Handle<TensorImpl>(const Handle<TensorImpl>&)>;
// A hook may add hooks while it runs: a deque leaves it where it is.
using Hooks = std::deque<Hook>;

// Keeps the profile. An op's interval ends where it is recorded and begins where the previous event ended.
// Of the steady clock, and of the process's processor time, in nanoseconds.
struct Moment {
  std::int64_t wall = 0, processor = 0;
};

class Profiler {
 public:
  Profiler();
  void recorded(const char* name, const TensorImpl& value);
  void swept() noexcept;
  const Profile& profile() const noexcept { return profile_; }

 private:
  Profile profile_;
  Moment last_;    // when the last event ended
  Moment inside_;  // time of the events within the running pullback
  friend class ProfiledPullback;
};

// A pullback, and the summing up of the gradients it returns, for as long as it is in scope.
class ProfiledPullback {
 public:
  ProfiledPullback(Profiler& profiler, const Node& node);
  ~ProfiledPullback();
  ProfiledPullback(const ProfiledPullback&) = delete;
  ProfiledPullback& operator=(const ProfiledPullback&) = delete;
  void count_bytes(Gradients& gradients) noexcept;

 private:
  Profiler& profiler_;
  Profile::Event event_;
  Moment start_, inside_before_;
  bool returned_ = false;
};

// Searches the outputs of ops and the gradients of pullbacks, and remembers where each op was called.
class AnomalySearch {
 public:
  // An op's output, about to become node number `index`. Throws AnomalyError.
  void recorded(std::size_t index, const char* name, const TensorImpl& value, const Inputs& inputs);
  // Runs the pullback of a node. Throws AnomalyError.
  Gradients run(const Recording& recording, std::uint32_t index, Handle<TensorImpl> gradient,
                const Handle<TensorImpl>& output, Wanted wanted);
  // Runs a step of the sweep between pullbacks, which makes `made` of gradients. Throws AnomalyError.
  template <class Make>
  void run_step(const Step& step, const char* what, std::initializer_list<const TensorImpl*> gradients,
                const Handle<TensorImpl>& made, const Make& make) {
    const bool of_finite = std::ranges::all_of(gradients, is_finite);
    {
      const Inside inside(*this);
      make();
    }
    check_gradient(step, what, *made, of_finite);
  }
  // Throws AnomalyError for NaN in a gradient, and for infinity in one made of finite ones.
  void check_gradient(const Step& step, const char* what, const TensorImpl& gradient, bool of_finite) const;
  static bool is_finite(const TensorImpl* x) noexcept;
  void clear() noexcept { origins_.clear(); }

 private:
  // While one is in scope, what is recorded is a means to an end: the end is judged.
  struct Inside {
    explicit Inside(AnomalySearch& of) : search(of), outer(std::exchange(of.suspect_, {})) { ++search.pullbacks_; }
    ~Inside() {
      --search.pullbacks_;
      search.suspect_ = std::move(outer);
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    AnomalySearch& search;
    std::string outer;
  };
  struct Origin {
    std::vector<void*> stack;
    std::string inputs;  // their shapes, and whether they are finite
    bool finite;         // all of them
  };
  std::vector<Origin> origins_;  // of each node
  int pullbacks_ = 0;            // running now
  std::string suspect_;          // the first op within the running pullback whose output is not finite
};

struct Watch {
  explicit Watch(const TapeOptions& options);

  void recorded(std::size_t index, const char* name, const TensorImpl& value, const Inputs& inputs);
  // The gradient of a node's output that its hooks leave.
  Handle<TensorImpl> hooked(std::uint32_t index, const char* name, Handle<TensorImpl> gradient);
  // The gradient that the last hook leaves. Throws TapeError if one returns another shape.
  Handle<TensorImpl> run_hooks(Hooks& hooks, Handle<TensorImpl> gradient, const Step& step) const;
  void swept() noexcept {
    if (profiler) profiler->swept();
  }
  // The profile goes on.
  void clear() noexcept;
  // Place among source_hooks, or their number.
  std::size_t place_of_source(const TensorImpl* source) const noexcept;
  Hooks& hooks_of_source(const Handle<TensorImpl>& source);

  struct SourceHooks {
    Handle<TensorImpl> source;
    Hooks hooks;
  };
  std::map<std::uint32_t, Hooks> node_hooks;
  std::deque<SourceHooks> source_hooks;
  std::optional<Profiler> profiler;
  std::optional<AnomalySearch> anomaly;
};

inline AnomalySearch* Recording::anomaly() const noexcept {
  return watch_ && watch_->anomaly ? &*watch_->anomaly : nullptr;
}

}  // namespace xtape::detail
