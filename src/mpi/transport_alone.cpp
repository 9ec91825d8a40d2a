// Without MPI: one process, whose sums are what it has itself.
#include "transport.hpp"

#include <algorithm>
#include <cstdlib>

namespace xtape::mpi::transport {

bool available() noexcept { return false; }
bool join() { return false; }
bool ended() { return false; }
void leave() {}
bool all_call() { return true; }
void abort(int status) { std::_Exit(status); }
std::size_t rank() { return 0; }
std::size_t size() { return 1; }

void broadcast(void*, std::size_t) {}
template <class T> void sum(T*, std::size_t) {}
template <class T> void gather(const T* own, std::size_t rows, std::size_t width, const std::size_t*, T* all) {
  std::copy_n(own, rows * width, all);
}

template <class T> struct Sums<T>::Requests {};
template <class T> Sums<T>::Sums() = default;
template <class T> Sums<T>::~Sums() = default;
template <class T> void Sums<T>::start(T*, std::size_t) {}
template <class T> void Sums<T>::progress() {}
template <class T> void Sums<T>::wait(std::size_t) {}
template <class T> void Sums<T>::clear() {}

#define XTAPE_TRANSPORT(T)            \
  template void sum(T*, std::size_t); \
  template void gather(const T*, std::size_t, std::size_t, const std::size_t*, T*);
XTAPE_TRANSPORT(float)
XTAPE_TRANSPORT(double)
template class Sums<float>;
template class Sums<double>;

}  // namespace xtape::mpi::transport
