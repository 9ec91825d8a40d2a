// Points at which a wrong formula looks right, so that nobody takes them for a test; and ties.

#include "model.hpp"
#include "problems.hpp"
#include "rbm.hpp"
#include "softmax.hpp"

#include <xtape/ops/softmax.hpp>

#include <cmath>

namespace derivation {
namespace {

using enum Source;

class Lines {
 public:
  Lines(Table& table, int row, const char* label, const char* quantity)
      : table_(table), row_(row), label_(label), quantity_(quantity) {}
  void operator()(const char* reading, const char* formula, const Expected& expected, const Measured& measured) const {
    table_.add({row_, label_, quantity_, wanted, reading, formula}, {0, ""}, expected, measured);
  }

 private:
  Table& table_;
  int row_;
  const char *label_, *quantity_;
};

// With a window of one element every reading of row 4 says dLoss/dY = dLoss/dP.
void window_of_one(std::uint64_t seed, Table& table) {
  const Geometry g{8, 3, 1, 1};
  xtape::Rng rng = random_numbers(seed, g);
  const Point at = draw_point(g, rng);
  const Loss loss = make_losses(g.features(), rng).front();
  const Vector df = row9::corrected(at.f, loss.ds(row6::printed(at.f)));
  const Maps dp = row5::dloss_dp(g, df, row5::corrected);
  const Lines line(table, 1, "4", "∂Loss/∂Y with p = 1, a window of one element");
  const auto check = [&](const Maps& dy) {
    return gradient(
        to_tensor(dy, at.y_tensor().shape()), [&](const Tensor& y) { return loss_of_maps(g, loss, y); }, at.y_tensor());
  };
  line("printed", "same (m,n) on both sides", hidden("p = 1"), check(row4::same_index(g, at.y, dp)));
  line("overwriting", "the last window stays", hidden("p = 1"), check(row4::overwriting(g, at.y, dp)));
}

// With F = 0 all e^F are 1, so a lost e^F is not missed.
void features_of_zero(std::uint64_t seed, Table& table) {
  xtape::Rng rng(seed, 4000000000);
  const int size = 18;
  const Vector f(size);
  const Loss loss = make_losses(size, rng).front();
  const Tensor at = to_tensor(f, {1, size});
  const auto against_jacobian = [&](const Matrix& by_hand) {
    const auto line = [&](int o) {
      Vector v(size);
      for (int j = 1; j <= size; ++j) v(j) = by_hand(o + 1, j);
      return to_tensor(v, at.shape());
    };
    return jacobian(
        line, [](const Tensor& x) { return xtape::softmax(x); }, at);
  };
  const Lines line(table, 2, "7–9", "softmax at F = 0, which zero weights give");
  line("7 printed", "(e^F_i / Z − e^F_i e^F_j) / Z², not hidden", wrong(), against_jacobian(row7::printed(f)));
  line("8 printed", "δ_ij / Z − e^(F_i+F_j) / Z²", hidden("F = 0"), against_jacobian(row8::printed(f)));
  line("9 printed", "Σ_i g_i (δ_ij / Z − e^(F_i+F_j) / Z²)", hidden("F = 0"),
       gradient(
           to_tensor(row9::printed(f, loss.ds(row6::printed(f))), at.shape()),
           [&](const Tensor& x) { return loss_of_features(loss, x); }, at));
}

// The same in the whole chain. All of Y is 0 there, so every window is a tie and differences cannot judge.
void weights_of_zero(std::uint64_t seed, Table& table) {
  const Geometry g{9, 3, 2, 2};
  xtape::Rng rng = random_numbers(seed, g);
  const Point drawn = draw_point(g, rng), at = make_point(g, drawn.x, Maps(2, g.k, g.k));
  const Loss loss = make_losses(g.features(), rng).front();
  const Lines line(table, 3, "11", "∂Loss/∂W at W = 0, (9,3,2,2): against the tape alone, since every window is a tie");
  const auto check = [&](const row5::Index& index) {
    return gradient_by_tape_only(
        to_tensor(chain(at, loss, {row9::printed, index, row4::corrected}), at.w_tensor().shape()),
        [&](const Tensor& w) { return loss_of_maps(g, loss, maps(g, at.x_tensor(), w)); }, at.w_tensor());
  };
  line("8 printed", "rest corrected", hidden("W = 0"), check(row5::corrected));
  line("5, 8", "5 and 8 as printed: 5 is not hidden", wrong(), check(row5::printed));
}

// dLoss/dY with row 3 read as "attains the maximum".
Maps give_to_every_maximum(const Geometry& g, const Maps& y, const Maps& dp) {
  Maps dy(2, g.n(), g.n());
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= g.q(); ++m)
      for (int n = 1; n <= g.q(); ++n) {
        const Maps part = row3::every_maximum(g, y, c, m, n);
        for (int a = 1; a <= g.n(); ++a)
          for (int b = 1; b <= g.n(); ++b) dy(c, a, b) += dp(c, m, n) * part(c, a, b);
      }
  return dy;
}

bool same_patch(const Geometry& g, const Matrix& x, int m1, int n1, int m2, int n2) {
  for (int r = 0; r < g.k; ++r)
    for (int t = 0; t < g.k; ++t)
      if (x(m1 + r, n1 + t) != x(m2 + r, n2 + t)) return false;
  return true;
}

// Whether the elements next to a window's maximum either have the same patch of the image, and so tie with it
// whatever the weights, or lie well below.
bool only_patches_tie(const Point& at) {
  const Geometry& g = at.g;
  for (int c = 1; c <= 2; ++c)
    for (int m = 1; m <= g.q(); ++m)
      for (int n = 1; n <= g.q(); ++n) {
        const Position best = argmax(g, at.y, c, m, n);
        const int a = m + best.i - 1, b = n + best.j - 1;
        for (int i = m; i < m + g.p; ++i)
          for (int j = n; j < n + g.p; ++j)
            if (!same_patch(g, at.x, a, b, i, j) && at.y(c, a, b) - at.y(c, i, j) < 100 * step) return false;
      }
  return true;
}

// A constant background: windows on it are ties whatever the weights, so dLoss/dW exists, but dLoss/dY does not.
void ties(std::uint64_t seed, Table& table) {
  const Geometry g{8, 3, 1, 2};
  xtape::Rng rng(seed, 5000000000);
  Matrix x(g.d, g.d);
  for (int i = 1; i <= g.d; ++i)
    for (int j = 1; j <= g.d; ++j) x(i, j) = i >= 2 && i <= 4 && j == 7 ? 3.0 : 1.0;  // a stroke of 3 on a ground of 1
  Point at;
  do {
    Maps w(2, g.k, g.k);
    // Multiples of 1/64, so that the sums are exact and equal patches give equal bits in any order of summation.
    for (double& v : w.values()) v = std::round(32 * rng.normal()) / 64;
    at = make_point(g, x, w);
  } while (!only_patches_tie(at));
  const Loss loss = make_losses(g.features(), rng).front();
  const Tensor w = at.w_tensor(), y = at.y_tensor();
  const auto of_w = [&](const Tensor& v) { return loss_of_maps(g, loss, maps(g, at.x_tensor(), v)); };
  const auto of_y = [&](const Tensor& v) { return loss_of_maps(g, loss, v); };

  const auto dw = [&](auto&& dy) {
    return to_tensor(chain(at, loss, {row9::corrected, row5::corrected, dy}), w.shape());
  };
  const Lines line(table, 4, "3", "∂P/∂Y = 1[(i,j) = argmax], an image with a constant background: ties");
  line("literal", "every maximum counts, ∂Loss/∂W", wrong(), gradient(dw(give_to_every_maximum), of_w, w));
  line("tie rule", "the first takes all, ∂Loss/∂W", right(), gradient(dw(row4::corrected), of_w, w));
  const Vector df = row9::corrected(at.f, loss.ds(row6::printed(at.f)));
  const Measured m =
      gradient(to_tensor(row4::corrected(g, at.y, row5::dloss_dp(g, df, row5::corrected)), y.shape()), of_y, y);
  // No derivative exists; the tape's choice has to be the tie rule's all the same.
  line("tie rule", "the first takes all, ∂Loss/∂Y: no derivative", m.error[tape] <= tolerance[tape] ? kink() : right(),
       m);
}

// With W = 0 and a = 0 a hidden unit is on as often as off.
void machine_of_zero(std::uint64_t seed, Table& table) {
  xtape::Rng rng(seed, 6000000000);
  const SmallRbm rbm{Matrix(4, 3), normal_vector(4, 1.0, rng), Vector(3)};
  std::vector<double> printed_p, p;
  for (const Vector& v : binary_vectors(4))
    for (const Vector& h : binary_vectors(3)) {
      printed_p.push_back(problem3_row3::printed(rbm, v, h));
      p.push_back(enumeration_of::conditional(rbm, v, h));
    }
  const xtape::Shape shape{p.size()};
  const Lines line(table, 5, "3", "Problem 3's p(h|v) with W = 0 and a = 0");
  line("printed", "Π_i σ(h_i u_i)", hidden("u = 0"),
       values(Tensor(shape, std::span<const double>(printed_p)), Tensor(shape, std::span<const double>(p)),
              enumeration));
}

}  // namespace

Table where_mistakes_hide(std::uint64_t seed) {
  Table table("Where mistakes hide, and ties: never test a gradient at such a point", {""},
              {tape, differences, enumeration});
  window_of_one(seed, table);
  features_of_zero(seed, table);
  weights_of_zero(seed, table);
  ties(seed, table);
  machine_of_zero(seed, table);
  return table;
}

}  // namespace derivation
