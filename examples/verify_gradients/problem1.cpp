// Problem 1: every row of the solution, as printed and as corrected, against the tape and differences.

#include "model.hpp"
#include "problems.hpp"
#include "softmax.hpp"

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/conv.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

namespace derivation {
namespace {

using enum Source;

// Adds lines of one row; every call holds one formula against the references.
struct Row {
  Table& table;
  int number;
  const char* quantity;
  Case place;

  void operator()(Source source, const char* reading, const char* formula, const Expected& expected,
                  const Measured& measured) const {
    table.add({number, number <= 11 ? fmt::format("{}", number) : "+", quantity, source, reading, formula}, place,
              expected, measured);
  }
};

// Rows without a loss: the Jacobians of single layers.
void check_layers(const Point& at, std::size_t configuration, Table& table) {
  const Geometry& g = at.g;
  const auto row = [&](int number, const char* quantity) { return Row{table, number, quantity, {configuration, ""}}; };
  // Output o of a layer of maps, counted from 0 in row-major order, is element (m, n) of map c.
  const auto by_map = [](int side, auto&& f) {
    return [side, f](int o) { return f(1 + o / (side * side), 1 + o / side % side, 1 + o % side); };
  };
  const auto by_line = [&](const Matrix& jacobian) {
    return [&jacobian](int o) {
      Vector line(jacobian.extent(1));
      for (int j = 1; j <= line.size(); ++j) line(j) = jacobian(o + 1, j);
      return to_tensor(line, {1, line.size()});
    };
  };

  const auto dy_dw = [&](int c, int m, int n) { return to_tensor(row1::printed(g, at.x, c, m, n), {2, 1, g.k, g.k}); };
  row(1, "∂Y_mn/∂W_pq")(
      printed, "printed", "X[(m−1)s+p, (n−1)s+q]", right(),
      jacobian(
          by_map(g.n(), dy_dw), [&](const Tensor& w) { return maps(g, at.x_tensor(), w); }, at.w_tensor()));

  const auto dp_dy = [&](int c, int m, int n) {
    return to_tensor(row3::printed(g, at.y, c, m, n), {1, 2, g.n(), g.n()});
  };
  row(3, "∂P_mn/∂Y_m+i−1,n+j−1")(printed, "printed", "1[(i,j) = argmax of the window]", right(),
                                 jacobian(
                                     by_map(g.q(), dp_dy), [&](const Tensor& y) { return pool(g, y); }, at.y_tensor()));

  const Tensor f = at.f_tensor();
  const auto softmax = [](const Tensor& x) { return xtape::softmax(x); };
  row(6, "S_i")(printed, "printed", "e^F_i / Σ_j e^F_j            (values)", right(),
                values(to_tensor(row6::printed(at.f), f.shape()), softmax(f), tape));

  const auto lines7 = row(7, "∂S_i/∂F_j, first form");
  const Matrix printed7 = row7::printed(at.f), corrected7 = row7::corrected(at.f);
  lines7(printed, "printed", "(e^F_i / Z − e^F_i e^F_j) / Z²", wrong(), jacobian(by_line(printed7), softmax, f));
  lines7(corrected, "corrected", "(δ_ij e^F_i Z − e^F_i e^F_j) / Z²", right(),
         jacobian(by_line(corrected7), softmax, f));

  const auto lines8 = row(8, "∂S_i/∂F_j, second and third form");
  const Matrix printed8 = row8::printed(at.f), corrected8 = row8::corrected(at.f);
  lines8(printed, "printed", "δ_ij / Z − e^(F_i+F_j) / Z²", wrong(), jacobian(by_line(printed8), softmax, f));
  lines8(corrected, "corrected", "δ_ij e^F_i / Z − e^(F_i+F_j) / Z² = S_i (δ_ij − S_j)", right(),
         jacobian(by_line(corrected8), softmax, f));
}

// Rows with a loss, from the last layer to the first; each takes what comes from above as it is right.
void check_backward(const Point& at, const Loss& loss, std::size_t configuration, Table& table) {
  const Geometry& g = at.g;
  const auto row = [&](int number, const char* quantity) {
    return Row{table, number, quantity, {configuration, loss.name}};
  };
  const Tensor f = at.f_tensor(), pooled = at.pooled_tensor(), y = at.y_tensor(), w = at.w_tensor(), x = at.x_tensor();
  const Vector s = row6::printed(at.f), ds = loss.ds(s), df = row9::corrected(at.f, ds);
  const Maps dp = row5::dloss_dp(g, df, row5::corrected), dy = row4::corrected(g, at.y, dp);

  const auto of_f = [&](const Tensor& v) { return loss_of_features(loss, v); };
  const auto against_f = [&](const Vector& by_hand) { return gradient(to_tensor(by_hand, f.shape()), of_f, f); };
  const auto lines9 = row(9, "∂Loss/∂F_j,  g = ∂Loss/∂S");
  lines9(printed, "printed", "Σ_i g_i (δ_ij / Z − e^(F_i+F_j) / Z²)", wrong(), against_f(row9::printed(at.f, ds)));
  lines9(corrected, "corrected", "S_j (g_j − Σ_i g_i S_i)", right(), against_f(df));

  const auto of_p = [&](const Tensor& v) { return loss_of_pooled(loss, v); };
  const auto against_p = [&](const row5::Index& index) {
    return gradient(to_tensor(row5::dloss_dp(g, df, index), pooled.shape()), of_p, pooled);
  };
  const bool s_is_1 = g.s == 1;
  const auto lines5 = row(5, "flatten index of P^c_mn: (c−1) side² + (m−1) side + n,  seen in ∂Loss/∂P");
  lines5(printed, "printed", "side = (d−k+1)/s − p + 1", wrong_unless(s_is_1, "s = 1"), against_p(row5::printed));
  lines5(printed, "as integers", "side = ⌊(d−k+1)/s⌋ − p + 1", wrong_unless(s_is_1, "s = 1"),
         against_p(row5::rounded_down));
  lines5(wanted, "rounded up", "side = ⌈(d−k+1)/s⌉ − p + 1: the same as q", right(), against_p(row5::rounded_up));
  lines5(corrected, "corrected", "side = q = (d−k)/s − p + 2", right(), against_p(row5::corrected));

  const auto of_y = [&](const Tensor& v) { return loss_of_maps(g, loss, v); };
  const auto against_y = [&](const Maps& by_hand) { return gradient(to_tensor(by_hand, y.shape()), of_y, y); };
  // Points are drawn so that row 4 shows its mistakes wherever the windows can.
  const Expected same = wrong_unless(g.p == 1, "p = 1"),
                 last = g.p == 1 ? hidden("p = 1") : wrong_unless(g.q() == 1, "a single window");
  const auto lines4 = row(4, "∂Loss/∂Y");
  lines4(printed, "printed", "∂Loss/∂Y_mn = ∂Loss/∂P_mn Σ_ij 1[(i,j) = argmax]", same,
         against_y(row4::same_index(g, at.y, dp)));
  lines4(printed, "overwriting", "∂Loss/∂Y_m+i−1,n+j−1 = ∂Loss/∂P_mn, the last stays", last,
         against_y(row4::overwriting(g, at.y, dp)));
  lines4(corrected, "corrected", "Σ_ij ∂Loss/∂P_a−i+1,b−j+1 1[(i,j) = argmax there]", right(), against_y(dy));

  const auto of_w = [&](const Tensor& v) { return loss_of_maps(g, loss, maps(g, x, v)); };
  const auto against_w = [&](const Maps& by_hand) { return gradient(to_tensor(by_hand, w.shape()), of_w, w); };
  const auto lines2 =
      row(2, "∂Loss/∂W_pq = Σ_mn ∂Loss/∂Y X[(m−1)s+p, (n−1)s+q],  the index of ∂Loss/∂Y is not printed");
  lines2(printed, "no index", "∂Loss/∂Y: one number a map, the sum of all", wrong_unless(g.n() == 1, "n = 1"),
         against_w(row2::one_number_a_map(g, dy, at.x)));
  lines2(printed, "index (p,q)", "∂Loss/∂Y_pq, as on the left-hand side",
         wrong_unless(g.n() == 1 && g.k == 1, "n = k = 1"), against_w(row2::index_of_the_left(g, dy, at.x)));
  lines2(either, "index (m,n)", "∂Loss/∂Y_mn, as under the sum: the correct one", right(),
         against_w(row2::corrected(g, dy, at.x)));

  // Row 8 enters the chain through row 9.
  const auto against_chain = [&](const ChainRules& rules) { return against_w(chain(at, loss, rules)); };
  const auto lines11 = row(11, "∂Loss/∂W, the whole chain:  convolution ← max-pool ← flatten ← softmax ← loss");
  lines11(printed, "4 printed", "rest corrected", same,
          against_chain({row9::corrected, row5::corrected, row4::same_index}));
  lines11(printed, "4 overwrites", "rest corrected", last,
          against_chain({row9::corrected, row5::corrected, row4::overwriting}));
  lines11(printed, "5 printed", "rest corrected", wrong_unless(s_is_1, "s = 1"),
          against_chain({row9::corrected, row5::printed, row4::corrected}));
  lines11(printed, "5 integers", "rest corrected", wrong_unless(s_is_1, "s = 1"),
          against_chain({row9::corrected, row5::rounded_down, row4::corrected}));
  lines11(printed, "8 printed", "rest corrected", wrong(),
          against_chain({row9::printed, row5::corrected, row4::corrected}));
  lines11(printed, "all printed", "4, 5 and 8", wrong(),
          against_chain({row9::printed, row5::printed, row4::same_index}));
  lines11(corrected, "corrected", "4, 5 and 8", right(),
          against_chain({row9::corrected, row5::corrected, row4::corrected}));
}

// Not in the solution: the gradients of the image and of a bias.
void check_image_and_bias(const Point& at, const Loss& loss, std::size_t configuration, Table& table) {
  const Geometry& g = at.g;
  const auto row = [&](int number, const char* quantity) {
    return Row{table, number, quantity, {configuration, loss.name}};
  };
  const Tensor x = at.x_tensor(), w = at.w_tensor();
  const auto dloss_dy = [&](const Maps& y) {
    const Vector f = flatten(g, max_pool(g, y)), df = row9::corrected(f, loss.ds(row6::printed(f)));
    return row4::corrected(g, y, row5::dloss_dp(g, df, row5::corrected));
  };

  row(13, "∂Loss/∂X_uv")(wanted, "derived", "Σ_c Σ_mn ∂Loss/∂Y^c_mn W^c[u−(m−1)s, v−(n−1)s]", right(),
                         gradient(
                             to_tensor(extra::dloss_dx(g, dloss_dy(at.y), at.w), x.shape()),
                             [&](const Tensor& v) { return loss_of_maps(g, loss, maps(g, v, w)); }, x));

  // A bias moves a whole map, so the same elements win and ties stay away.
  const Maps y = convolve(g, at.x, at.w, at.bias);
  row(14, "∂Loss/∂b^c, a convolution with bias")(
      wanted, "derived", "Σ_mn ∂Loss/∂Y^c_mn", right(),
      gradient(
          to_tensor(extra::dloss_db(g, dloss_dy(y)), {2}),
          [&](const Tensor& b) { return loss_of_maps(g, loss, xtape::conv2d(x, w, b, {.stride = g.s})); },
          to_tensor(at.bias, {2})));
}

// dLoss/dS, at values that are no softmax: beside elements near 0 the differences of a logarithm fail.
void check_loss(const Loss& loss, int size, xtape::Rng& rng, std::size_t configuration, Table& table) {
  Vector s(size);
  for (double& v : s.values()) v = rng.uniform(0.5, 1.5);
  const xtape::Shape shape{1, size};
  const Row row{table, 12, "∂Loss/∂S", {configuration, loss.name}};
  row(wanted, "derived", "g;  S − t;  −t / S            for the three losses", right(),
      gradient(to_tensor(loss.ds(s), shape), loss.on_tape, to_tensor(s, shape)));
}

// Row 10: a linear layer on the image instead of convolution and pooling.
void check_linear(const Point& at, const Loss& loss, const Matrix& w, const Vector& b, std::size_t configuration,
                  Table& table) {
  const int d = at.g.d, outputs = b.size();
  const Vector f = row10::forward(at.x, w, b);
  const Vector df = row9::corrected(f, loss.ds(row6::printed(f)));
  const Tensor x = xtape::flatten(at.x_tensor()), w_tensor = to_tensor(w, {d * d, outputs}),
               b_tensor = to_tensor(b, {outputs});
  const auto layer = [&](const Tensor& weights, const Tensor& bias) { return xtape::matmul(x, weights) + bias; };

  const Row row{table, 10, "a linear layer instead:  F_i, ∂Loss/∂W_ji, ∂Loss/∂b_i", {configuration, loss.name}};
  row(printed, "printed", "F_i = Σ_j W_ji X[1+⌊(j−1)/d⌋, 1+(j−1) mod d] + b_i", right(),
      values(to_tensor(f, {1, outputs}), layer(w_tensor, b_tensor), tape));
  row(printed, "printed", "∂Loss/∂W_ji = ∂Loss/∂F_i X_j", right(),
      gradient(
          to_tensor(row10::dloss_dw(at.x, df), w_tensor.shape()),
          [&](const Tensor& v) { return loss_of_features(loss, layer(v, b_tensor)); }, w_tensor));
  row(wanted, "missing", "∂Loss/∂b_i = ∂Loss/∂F_i", right(),
      gradient(
          to_tensor(row10::dloss_db(df), b_tensor.shape()),
          [&](const Tensor& v) { return loss_of_features(loss, layer(w_tensor, v)); }, b_tensor));
}

// The softmax layer that the assignment asked for, z = V F + c.
void check_dense(const Point& at, const Loss& loss, const Matrix& v, const Vector& c, std::size_t configuration,
                 Table& table) {
  const int outputs = c.size();
  const Vector z = dense::forward(at.f, v, c), s = row6::printed(z), delta = row9::corrected(z, loss.ds(s));
  const Tensor f = at.f_tensor(), v_tensor = to_tensor(v, {outputs, at.f.size()}), c_tensor = to_tensor(c, {outputs}),
               z_tensor = to_tensor(z, {1, outputs});
  const auto layer = [](const Tensor& features, const Tensor& weights, const Tensor& bias) {
    return xtape::matmul(features, weights, {.transpose_b = true}) + bias;
  };
  const auto of_z = [&](const Tensor& a) { return loss_of_features(loss, a); };

  const Row row{table,
                15,
                "a softmax layer on the map:  z = V F + c,  S = softmax(z),  δ = ∂Loss/∂z",
                {configuration, loss.name}};
  row(wanted, "derived", "δ_a = S_a (g_a − Σ_i g_i S_i)", right(),
      gradient(to_tensor(delta, {1, outputs}), of_z, z_tensor));
  if (loss.name == "cross-entropy")
    row(wanted, "derived", "δ = S − t                    (cross-entropy)", right(),
        gradient(to_tensor(dense::delta(s, loss.t), {1, outputs}), of_z, z_tensor));
  row(wanted, "derived", "∂Loss/∂V = δ Fᵀ", right(),
      gradient(
          to_tensor(dense::dloss_dv(delta, at.f), v_tensor.shape()),
          [&](const Tensor& a) { return of_z(layer(f, a, c_tensor)); }, v_tensor));
  row(wanted, "derived", "∂Loss/∂c = δ", right(),
      gradient(
          to_tensor(dense::dloss_dc(delta), c_tensor.shape()),
          [&](const Tensor& a) { return of_z(layer(f, v_tensor, a)); }, c_tensor));
  row(wanted, "derived", "∂Loss/∂F = Vᵀ δ", right(),
      gradient(
          to_tensor(dense::dloss_df(v, delta), f.shape()),
          [&](const Tensor& a) { return of_z(layer(a, v_tensor, c_tensor)); }, f));
}

// What becomes of the printed index of row 5 unless s = 1.
void note_indices(const std::vector<Geometry>& configurations, Table& table) {
  std::vector<std::string> sides, shares;
  for (const Geometry& g : configurations) {
    int broken = 0;
    for (int c = 1; c <= 2; ++c)
      for (int m = 1; m <= g.q(); ++m)
        for (int n = 1; n <= g.q(); ++n) broken += !row5::names_a_component(g, row5::printed(g, c, m, n));
    if (broken == 0 || sides.size() == 4) continue;
    sides.push_back(fmt::format("{:.3g} for {}", row5::side_printed(g), g.q()));
    shares.push_back(fmt::format("{}/{}", broken, g.features()));
  }
  if (!sides.empty())
    table.note(5, fmt::format("printed side {}: no component of F for {} elements", fmt::join(sides, ", "),
                              fmt::join(shares, ", ")));
}

}  // namespace

const std::vector<Geometry>& all_configurations() {
  static const std::vector<Geometry> six{{8, 3, 1, 2},  {7, 3, 1, 3},  {9, 3, 2, 2},
                                         {11, 3, 2, 3}, {10, 4, 3, 2}, {12, 4, 4, 2}};
  return six;
}

Table problem1(const std::vector<Geometry>& configurations, std::uint64_t seed) {
  constexpr int outputs = 5;  // of the linear and of the softmax layer
  std::vector<std::string> names;
  for (const Geometry& g : configurations) names.push_back(g.name());
  Table table(
      "Problem 1: convolution → max-pool → flatten → softmax, with a linear, a squared and a cross-entropy loss", names,
      {tape, differences});
  for (std::size_t c = 0; c < configurations.size(); ++c) {
    xtape::Rng rng = random_numbers(seed, configurations[c]);
    const Point at = draw_point(configurations[c], rng);
    // Small enough that the softmax does not saturate: differences of a constant are nothing but rounding.
    const Matrix w = normal_matrix(at.g.d * at.g.d, outputs, 1.0 / at.g.d, rng),
                 v = normal_matrix(outputs, at.g.features(), 1.0 / std::sqrt(at.g.features()), rng);
    const Vector b = normal_vector(outputs, 0.5, rng);
    check_layers(at, c, table);
    for (const Loss& loss : make_losses(at.g.features(), rng)) {
      check_backward(at, loss, c, table);
      check_image_and_bias(at, loss, c, table);
      check_loss(loss, at.g.features(), rng, c, table);
    }
    for (const Loss& loss : make_losses(outputs, rng)) {
      check_linear(at, loss, w, b, c, table);
      check_dense(at, loss, v, b, c, table);
    }
  }
  note_indices(configurations, table);
  return table;
}

}  // namespace derivation
