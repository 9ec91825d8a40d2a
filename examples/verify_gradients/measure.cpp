#include "measure.hpp"

#include <xtape/ops/shape.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

namespace derivation {
namespace {

std::string describe(const xtape::GradientComparison& c, const char* reference) {
  return fmt::format("[{}]: by hand {:.10g}, {} {:.10g}", fmt::join(c.worst, ","), c.first, reference, c.second);
}

}  // namespace

Verdict judge(const Measured& m) {
  // The tape and differences have to agree before either may judge.
  if (!(m.tape_and_differences <= tolerance[differences])) return Verdict::unclear;
  int right = 0, wrong = 0;
  for (std::size_t r = 0; r < references; ++r)
    if (!std::isnan(m.error[r])) ++(m.error[r] <= tolerance[r] ? right : wrong);
  if (right > 0 && wrong == 0) return Verdict::right;
  if (wrong > 0 && right == 0) return Verdict::wrong;
  return Verdict::unclear;
}

Measured gradient(const Tensor& by_hand, const Function& loss, const Tensor& at) {
  const xtape::GradientReport report = xtape::verify("", by_hand, loss, at, {.step = step});
  Measured m;
  m.error[tape] = report.hand_and_tape.largest_error;
  m.error[differences] = report.hand_and_differences.largest_error;
  m.tape_and_differences = report.tape_and_differences.largest_error;
  m.worst = describe(report.hand_and_tape, "tape");
  return m;
}

Measured gradient_by_tape_only(const Tensor& by_hand, const Function& loss, const Tensor& at) {
  const Tensor x = xtape::parameter(at);
  xtape::Tape recording;
  return values(by_hand, recording.gradient(loss(x), {x})[0], tape);
}

Measured jacobian(const std::function<Tensor(int)>& by_hand, const Function& f, const Tensor& at) {
  const auto outputs = static_cast<int>(f(at).size());
  Measured worst;
  for (int o = 0; o < outputs; ++o) {
    const auto output = [&](const Tensor& x) { return xtape::slice(xtape::reshape(f(x), {-1}), {o}); };
    Measured m = gradient(by_hand(o), output, at);
    if (o == 0 || m.error[tape] > worst.error[tape]) {
      worst.error[tape] = m.error[tape];
      worst.worst = fmt::format("output {}, {}", o, m.worst);
    }
    worst.error[differences] = std::fmax(worst.error[differences], m.error[differences]);
    worst.tape_and_differences = std::fmax(worst.tape_and_differences, m.tape_and_differences);
  }
  return worst;
}

Measured values(const Tensor& by_hand, const Tensor& truth, Reference reference) {
  constexpr std::array<const char*, references> names{"tape", "differences", "enumeration"};
  const xtape::GradientComparison c = xtape::compare_gradients(by_hand, truth);
  Measured m;
  m.error[reference] = c.largest_error;
  m.worst = describe(c, names[reference]);
  return m;
}

Measured share_of_failures(int failures, int cases) {
  Measured m;
  m.error[enumeration] = double(failures) / cases;
  m.worst = fmt::format("{} of {} cases fail", failures, cases);
  return m;
}

}  // namespace derivation
