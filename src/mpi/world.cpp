#include <xtape/mpi/world.hpp>

#include "transport.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <numeric>
#include <string_view>

namespace xtape::mpi {
namespace {

std::string place(std::size_t rank, std::size_t size) { return fmt::format("process {} of {}", rank, size); }

// Not fmt::print, which throws if standard error is full: all must end nevertheless.
void complain(const std::string& line) { std::fputs((line + "\n").c_str(), stderr); }

}  // namespace

World::World() : exceptions_(std::uncaught_exceptions()) {
  bool launched = false, one_of_several = false;
  for (const std::string_view variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"})
    if (const char* const value = std::getenv(variable.data())) {
      launched = true;
      one_of_several = one_of_several || std::string_view(value) != (variable == "PMIX_RANK" ? "0" : "1");
    }
  if (!launched) return;
  if (!transport::available()) {
    if (one_of_several) throw MpiError("mpi: one of several processes, but xtape was built without MPI");
    return;
  }
  if (transport::ended()) throw MpiError("mpi: MPI has ended, which begins once in a process only");
  joined_ = transport::join();
  rank_ = transport::rank();
  size_ = transport::size();
}

const World& World::alone() {
  static const World one{Alone{}};
  return one;
}

World::~World() {
  if (size_ > 1 && std::uncaught_exceptions() > exceptions_) {
    complain(fmt::format("{}: ended by an exception", place(rank_, size_)));
    transport::abort(1);
  }
  if (joined_) transport::leave();
}

void World::broadcast_bytes(void* bytes, std::size_t count) const {
  if (size_ > 1) transport::broadcast(bytes, count);
}

template <class T> void World::broadcast(const std::vector<Tensor<T>>& leaves) const {
  if (size_ == 1) return;
  std::vector<T> values;
  for (const auto& leaf : leaves) values.insert(values.end(), leaf.data(), leaf.data() + leaf.size());
  std::size_t expected = values.size();
  transport::broadcast(&expected, sizeof expected);
  if (expected != values.size())
    throw ShapeError(
        fmt::format("mpi: broadcast of {} elements, but {} has {}", expected, place(rank_, size_), values.size()));
  transport::broadcast(values.data(), values.size() * sizeof(T));
  if (first()) return;
  const T* from = values.data();
  for (Tensor<T> leaf : leaves) {
    const auto to = leaf.modify();
    std::copy_n(from, to.size(), to.data());
    from += to.size();
  }
}

void World::sum(std::span<double> values) const {
  if (size_ > 1) transport::sum(values.data(), values.size());
}

void World::agree(std::string_view what, std::string_view text) const {
  if (size_ == 1) return;
  // Every text at its own place among all, as numbers that sums of double carry exactly.
  std::vector<double> lengths(size_);
  lengths[rank_] = static_cast<double>(text.size());
  sum(lengths);
  std::vector<std::size_t> ends(size_);
  std::partial_sum(lengths.begin(), lengths.end(), ends.begin(), [](auto a, auto b) { return a + b; });
  std::vector<double> bytes(ends.back());
  for (std::size_t i = 0; i < text.size(); ++i)
    bytes[ends[rank_] - text.size() + i] = static_cast<double>(static_cast<unsigned char>(text[i]));
  sum(bytes);
  std::map<std::string, std::vector<std::size_t>> ranks;  // of each text
  std::vector<std::string> order;
  for (std::size_t rank = 0, at = 0; rank < size_; at = ends[rank++]) {
    std::string given;
    for (std::size_t i = at; i < ends[rank]; ++i) given += static_cast<char>(static_cast<unsigned char>(bytes[i]));
    if (!ranks.contains(given)) order.push_back(given);
    ranks[given].push_back(rank);
  }
  if (order.size() == 1) return;
  std::string parts;
  for (const std::string& given : order)
    parts += fmt::format("{}{} on {} {}", parts.empty() ? "" : ", ", given.empty() ? "nothing" : given,
                         ranks[given].size() == 1 ? "process" : "processes", fmt::join(ranks[given], " and "));
  throw MpiError(fmt::format("mpi: {} differs: {}", what, parts));
}

template <class T> Tensor<T> World::gather(const Tensor<T>& x) const {
  if (size_ == 1) return x;
  if (x.dimension() == 0) throw ShapeError("mpi: gather: a tensor without axes has no rows");
  // As numbers that sums of double carry exactly.
  std::vector<double> rows(size_);
  rows[rank_] = static_cast<double>(x.shape()[0]);
  sum(rows);
  const std::vector<std::size_t> counts(rows.begin(), rows.end());
  Shape shape = x.shape();
  std::size_t width = 1;
  for (std::size_t axis = 1; axis < shape.size(); ++axis) width *= shape[axis];
  T* const nowhere = nullptr;
  if (!first()) {
    transport::gather(x.data(), counts[rank_], width, counts.data(), nowhere);
    return {};
  }
  shape[0] = std::accumulate(counts.begin(), counts.end(), std::size_t{0});
  Fresh<T> all("mpi: gather", shape);
  transport::gather(x.data(), counts[rank_], width, counts.data(), all.data());
  return std::move(all).finished();
}

void World::fail(const std::string& message, int status) const {
  std::fflush(stdout);
  if (first()) complain(message);
  if (size_ > 1 && !transport::all_call()) {
    if (!first()) complain(fmt::format("{}: {}", place(rank_, size_), message));
    transport::abort(status);
  }
  if (joined_) transport::leave();
  std::exit(status);
}

template void World::broadcast(const std::vector<Tensor<float>>&) const;
template void World::broadcast(const std::vector<Tensor<double>>&) const;
template Tensor<float> World::gather(const Tensor<float>&) const;
template Tensor<double> World::gather(const Tensor<double>&) const;

}  // namespace xtape::mpi
