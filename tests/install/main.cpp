// A program of somebody who uses an installed xtape. Prints a line; status 1 if something is wrong.

#include <xtape/data/digits.hpp>
#include <xtape/map.hpp>
#include <xtape/mpi/world.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>
#include <xtape/version.hpp>

#include <cstdio>
#include <string>
#include <thread>

using xtape::Tensor;

namespace {

int failures = 0;
void check(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "wrong: %s\n", what);
  ++failures;
}

// The library's ops, and a loop that is compiled here, with this program's flags.
template <class T> void check_gradient(const char* what) {
  Tensor<T> x = xtape::parameter(Tensor<T>({2, 9}, std::vector<T>(18, T(3))));
  xtape::Tape tape;
  const Tensor<T> y = xtape::map([](const auto& v) { return v * v * v; }, x);
  tape.backward(xtape::sum(y * T(2)));
  for (const T g : x.grad().span()) check(g == T(54), what);
}

// Thrown in the library, caught here by its own type.
template <class Error, class Act> void check_throws(const char* what, const std::string& begin, const Act& act) {
  try {
    act();
    check(false, what);
  } catch (const Error& error) {
    check(std::string(error.what()).rfind(begin, 0) == 0, error.what());
  } catch (...) {
    check(false, what);
  }
}

}  // namespace

int main() {
  const std::string headers = std::to_string(XTAPE_VERSION_MAJOR) + "." + std::to_string(XTAPE_VERSION_MINOR) + "." +
                              std::to_string(XTAPE_VERSION_PATCH);
  check(xtape::version() == headers, "the library is of another version than the headers");
  check_gradient<float>("gradient, float");
  check_gradient<double>("gradient, double");
  const Tensor<float> a(xt::xarray<float>{{1, 2, 3}});
  check_throws<xtape::ShapeError>("ShapeError", "matmul: ", [&] { xtape::matmul(a, a); });
  check_throws<xtape::Error>("its base", "matmul: ", [&] { xtape::matmul(a, a); });
  check_throws<xtape::TapeError>("TapeError", "backward: ", [&] {
    xtape::Tape tape;
    tape.backward(xtape::sum(a));
  });

  // A thread has a tape of its own.
  xtape::Tape tape;
  bool recording_there = true;
  std::thread([&] {
    recording_there = xtape::Tape::recording();
    check_gradient<float>("gradient on a thread");
  }).join();
  check(xtape::Tape::recording() && !recording_there, "tapes of two threads");
  check(tape.size() == 0, "nothing recorded");

  check(xtape::mpi::World().size() == 1, "one process");
  check(xtape::data::digits(10, 7).size() == 10, "data");
  if (failures == 0) std::printf("xtape %s: gradients, exceptions, threads and data are right\n", xtape::version());
  return failures == 0 ? 0 : 1;
}
