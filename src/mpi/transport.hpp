#pragma once
// What the library asks of MPI. transport_mpi.cpp answers with MPI, transport_alone.cpp for the one process that there
// is without it.

#include <cstddef>
#include <memory>

namespace xtape::mpi::transport {

// Was xtape built with MPI?
bool available() noexcept;
// False if somebody has joined already, who will also leave.
bool join();
// For good?
bool ended();
void leave();
// Do all processes call this within a second? Others may be anywhere, waiting for this one's part in something else.
bool all_call();
[[noreturn]] void abort(int status);
std::size_t rank();
std::size_t size();

void broadcast(void* bytes, std::size_t count);
// In place.
template <class T> void sum(T* values, std::size_t count);
// Rows of `width` elements each, to the first process.
template <class T> void gather(const T* own, std::size_t rows, std::size_t width, const std::size_t* all_rows, T* all);

// Sums that are under way, started in the same order on all processes.
template <class T> class Sums {
 public:
  Sums();
  ~Sums();
  void start(T* values, std::size_t count);
  // Gives MPI a moment to go on with them.
  void progress();
  // Until the number-th of those started is complete.
  void wait(std::size_t number);
  // Once all are.
  void clear();

 private:
  struct Requests;
  std::unique_ptr<Requests> requests_;
};

}  // namespace xtape::mpi::transport
