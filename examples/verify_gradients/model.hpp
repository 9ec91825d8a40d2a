#pragma once
// Problem 1's model on the tape, the losses, and the random points at which formulas are compared.

#include "convolution.hpp"
#include "measure.hpp"

#include <xtape/rng.hpp>

#include <string>
#include <vector>

namespace derivation {

// A loss of S with its constants, by hand and on the tape.
struct Loss {
  std::string name;
  std::function<Vector(const Vector& s)> ds;  // dLoss/dS
  Function on_tape;
  Vector t;  // targets, summing to 1; of the squared loss and the cross-entropy
};
// linear sum g S, squared sum (S - t)^2 / 2, cross-entropy -sum t log S, for S of the given size.
std::vector<Loss> make_losses(int size, xtape::Rng& rng);

// Random values, and what follows from them by the loops. Not zero weights, where wrong softmax formulas look
// right.
struct Point {
  Geometry g;
  Matrix x;
  Maps w, y, pooled;
  Vector bias, f;  // the bias is for the model that has one; y, pooled and f are without

  // Shapes as the tape has them.
  Tensor x_tensor() const { return to_tensor(x, {1, 1, g.d, g.d}); }
  Tensor w_tensor() const { return to_tensor(w, {2, 1, g.k, g.k}); }
  Tensor y_tensor() const { return to_tensor(y, {1, 2, g.n(), g.n()}); }
  Tensor pooled_tensor() const { return to_tensor(pooled, {1, 2, g.q(), g.q()}); }
  Tensor f_tensor() const { return to_tensor(f, {1, g.features()}); }
};
// Values of everything from an image and weights.
Point make_point(const Geometry& g, const Matrix& x, const Maps& w);
// Draws until no window's two largest elements are so close that a step of the differences could swap them, and
// until row 4 can show its mistakes: at a point where no two windows share a maximum, overwriting is right.
// Throws xtape::ValueError if that does not happen.
Point draw_point(const Geometry& g, xtape::Rng& rng);

// Whether the point hides a mistake of row 4: all maxima in their windows' first element; none of them shared.
bool every_maximum_first(const Point& at);
bool no_maximum_shared(const Point& at);

// The model as an ordinary expression, from the image on and from each stage on.
Tensor maps(const Geometry& g, const Tensor& x, const Tensor& w);
Tensor pool(const Geometry& g, const Tensor& y);
Tensor loss_of_features(const Loss& loss, const Tensor& f);
Tensor loss_of_pooled(const Loss& loss, const Tensor& pooled);
Tensor loss_of_maps(const Geometry& g, const Loss& loss, const Tensor& y);

// The whole chain for dLoss/dW by hand, with a rule of one's choice for dLoss/dF, the flatten index, dLoss/dY.
struct ChainRules {
  std::function<Vector(const Vector& f, const Vector& g)> df;
  row5::Index index;
  std::function<Maps(const Geometry& g, const Maps& y, const Maps& dp)> dy;
};
Maps chain(const Point& at, const Loss& loss, const ChainRules& rules);

// A stream of random numbers for each configuration, so that its verdicts do not depend on the others.
xtape::Rng random_numbers(std::uint64_t seed, const Geometry& g);

Vector normal_vector(int size, double deviation, xtape::Rng& rng);
Matrix normal_matrix(int rows, int columns, double deviation, xtape::Rng& rng);

}  // namespace derivation
