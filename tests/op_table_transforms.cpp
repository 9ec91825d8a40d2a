// Rows of the ops among the transforms.
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/transforms.hpp>

#include "op_table_reference.hpp"

namespace xtape::test {

std::vector<Row> transform_rows() {
  const auto product = []<class T>(const Tensors<T>& x) { return sin(x[0] * x[1]) + x[0]; };
  const auto reference = each([](Real a, Real b) { return std::sin(a * b) + a; });
  return {
      {.name = "checkpoint",
       .cases = {{[product]<class T>(const Tensors<T>& x) { return checkpoint<T>(product, x); },
                  reference,
                  {{{2, 3}, {2, 3}}, {{2, 3}, {3}}, {{2, 1}, {3}}, {{}, {}}, {{1}, {4}}, {{19}, {}}, {{0, 3}, {3}}}},
                 // One tensor passed, the other one taken from outside.
                 {[product]<class T>(const Tensors<T>& x) {
                    return checkpoint(
                        [product, w = x[1]](const Tensor<T>& t) {
                          return product(Tensors<T>{t, w});
                        },
                        x[0]);
                  },
                  reference,
                  {{{2, 3}, {3}}, {{}, {2}}}},
                 {[]<class T>(const Tensors<T>& x) {
                    Rng rng(3);
                    const auto f = [](const Tensor<T>& t, Rng& r) { return square(t) * static_cast<T>(r.uniform()); };
                    return checkpoint(f, x[0], rng);
                  },
                  each([factor = static_cast<Real>(Rng(3).uniform())](Real a) { return a * a * factor; }),
                  {{{2, 3}}, {{}}, {{0}}}},
                 {[]<class T>(const Tensors<T>& x) {
                    return checkpoint([](const Tensor<T>& t) { return sum(exp(t), 0); }, x[0]);
                  },
                  reduced(Axes{0}, false,
                          [](const std::vector<Real>& v) {
                            Real s = 0;
                            for (const Real e : v) s += std::exp(e);
                            return s;
                          }),
                  {{{3, 2}}, {{4}}, {{0, 2}}}}}},
  };
}

}  // namespace xtape::test
