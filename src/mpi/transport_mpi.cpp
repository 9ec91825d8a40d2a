// By MPI's own error handling, an error of MPI ends all processes with a message: nothing is checked here.
#include "transport.hpp"

// Not the C++ bindings, which MPI has given up.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

namespace xtape::mpi::transport {
namespace {

// MPI counts in int.
constexpr std::size_t most = std::size_t{1} << 30;

// For all_call(), whose messages meet no others.
MPI_Comm aside = MPI_COMM_NULL;

template <class T> MPI_Datatype type_of();
template <> MPI_Datatype type_of<float>() { return MPI_FLOAT; }
template <> MPI_Datatype type_of<double>() { return MPI_DOUBLE; }

}  // namespace

bool available() noexcept { return true; }

bool join() {
  int joined = 0;
  MPI_Initialized(&joined);
  if (joined == 0) {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  }
  if (aside == MPI_COMM_NULL) MPI_Comm_dup(MPI_COMM_WORLD, &aside);
  return joined == 0;
}
bool ended() {
  int ended = 0;
  MPI_Finalized(&ended);
  return ended != 0;
}
void leave() { MPI_Finalize(); }
bool all_call() {
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Ibarrier(aside, &request);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  int done = 0;
  while (done == 0 && std::chrono::steady_clock::now() < end) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return done != 0;
}
void abort(int status) {
  MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}
std::size_t rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return static_cast<std::size_t>(rank);
}
std::size_t size() {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return static_cast<std::size_t>(size);
}

void broadcast(void* bytes, std::size_t count) {
  for (std::size_t at = 0; at < count; at += most)
    MPI_Bcast(static_cast<char*>(bytes) + at, static_cast<int>(std::min(most, count - at)), MPI_BYTE, 0,
              MPI_COMM_WORLD);
}

template <class T> void sum(T* values, std::size_t count) {
  for (std::size_t at = 0; at < count; at += most)
    MPI_Allreduce(MPI_IN_PLACE, values + at, static_cast<int>(std::min(most, count - at)), type_of<T>(), MPI_SUM,
                  MPI_COMM_WORLD);
}

template <class T> void gather(const T* own, std::size_t rows, std::size_t width, const std::size_t* all_rows, T* all) {
  MPI_Datatype row = MPI_DATATYPE_NULL;
  MPI_Type_contiguous(static_cast<int>(width), type_of<T>(), &row);
  MPI_Type_commit(&row);
  std::vector<int> counts, places;
  for (std::size_t i = 0, before = 0; i < size(); before += all_rows[i++]) {
    counts.push_back(static_cast<int>(all_rows[i]));
    places.push_back(static_cast<int>(before));
  }
  MPI_Gatherv(own, static_cast<int>(rows), row, all, counts.data(), places.data(), row, 0, MPI_COMM_WORLD);
  MPI_Type_free(&row);
}

template <class T> struct Sums<T>::Requests {
  std::vector<MPI_Request> all;
  std::vector<std::size_t> ends;  // in `all`, of each sum started
};
template <class T> Sums<T>::Sums() : requests_(std::make_unique<Requests>()) {}
template <class T> Sums<T>::~Sums() = default;

template <class T> void Sums<T>::start(T* values, std::size_t count) {
  for (std::size_t at = 0; at < count; at += most)
    MPI_Iallreduce(MPI_IN_PLACE, values + at, static_cast<int>(std::min(most, count - at)), type_of<T>(), MPI_SUM,
                   MPI_COMM_WORLD, &requests_->all.emplace_back());
  requests_->ends.push_back(requests_->all.size());
}
template <class T> void Sums<T>::progress() {
  if (requests_->all.empty()) return;
  int done = 0;
  MPI_Testall(static_cast<int>(requests_->all.size()), requests_->all.data(), &done, MPI_STATUSES_IGNORE);
}
template <class T> void Sums<T>::wait(std::size_t number) {
  const std::size_t begin = number == 0 ? 0 : requests_->ends[number - 1];
  MPI_Waitall(static_cast<int>(requests_->ends[number] - begin), requests_->all.data() + begin, MPI_STATUSES_IGNORE);
}
template <class T> void Sums<T>::clear() {
  requests_->all.clear();
  requests_->ends.clear();
}

#define XTAPE_TRANSPORT(T)            \
  template void sum(T*, std::size_t); \
  template void gather(const T*, std::size_t, std::size_t, const std::size_t*, T*);
XTAPE_TRANSPORT(float)
XTAPE_TRANSPORT(double)
template class Sums<float>;
template class Sums<double>;

}  // namespace xtape::mpi::transport
