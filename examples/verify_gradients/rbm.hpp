#pragma once
// Problem 3 by hand and by enumeration: a restricted Boltzmann machine small enough to sum over all its states.
// Plain loops; xtape is not used here.

#include "array.hpp"

#include <vector>

namespace derivation {

// E(v,h) = -v'W h - b'v - a'h; w(i, j) joins visible i and hidden j.
struct SmallRbm {
  Matrix w;
  Vector b, a;
  int visible() const { return b.size(); }
  int hidden() const { return a.size(); }
};

// All vectors of n zeros and ones.
std::vector<Vector> binary_vectors(int n);

double sigmoid(double x);

namespace enumeration_of {
double energy(const SmallRbm& rbm, const Vector& v, const Vector& h);
// Z = sum_{v,h} e^{-E(v,h)}
double partition(const SmallRbm& rbm);
// p(v,h) = e^{-E(v,h)} / Z, and its sums over h, over v, over the other h
double joint(const SmallRbm& rbm, const Vector& v, const Vector& h);
double visible(const SmallRbm& rbm, const Vector& v);
double hidden(const SmallRbm& rbm, const Vector& h);
// e^{-E(v,h)} / sum_{h'} e^{-E(v,h')}
double conditional(const SmallRbm& rbm, const Vector& v, const Vector& h);
// p(h_j = value | v)
double conditional(const SmallRbm& rbm, const Vector& v, int j, double value);
// -log sum_h e^{-E(v,h)}
double free_energy(const SmallRbm& rbm, const Vector& v);

// Expectations of v_i h_j, v_i and h_j: over all states, and over h given v.
struct Moments {
  Matrix vh;
  Vector v, h;
};
Moments moments(const SmallRbm& rbm);
Moments moments_given(const SmallRbm& rbm, const Vector& v);
}  // namespace enumeration_of

// u = W'v + a
Vector hidden_input(const SmallRbm& rbm, const Vector& v);

namespace problem3_row1 {
double printed(const SmallRbm& rbm, const Vector& v, const Vector& h);    // p(v,h) / p(h)
double corrected(const SmallRbm& rbm, const Vector& v, const Vector& h);  // p(v,h) / p(v)
}  // namespace problem3_row1
namespace problem3_row2 {
// prod_i e^{h_i u_i} / sum_{h_i} e^{h_i u_i}
double printed(const SmallRbm& rbm, const Vector& v, const Vector& h);
}  // namespace problem3_row2
namespace problem3_row3 {
double printed(const SmallRbm& rbm, const Vector& v, const Vector& h);    // prod_i sigmoid(h_i u_i)
double corrected(const SmallRbm& rbm, const Vector& v, const Vector& h);  // prod_i sigmoid((2h_i - 1) u_i)
}  // namespace problem3_row3
namespace problem3_row4 {
// p(h_j = 1|v) = sigmoid(u_j)
double printed(const SmallRbm& rbm, const Vector& v, int j);
}  // namespace problem3_row4
namespace problem3_row5 {
// p(h_j|v) = sigmoid(h_j (W'v + 1)_j), with two mistakes; each corrected alone, and both
double printed(const SmallRbm& rbm, const Vector& v, int j, double h_j);
double bias_corrected(const SmallRbm& rbm, const Vector& v, int j, double h_j);  // sigmoid(h_j (W'v + a)_j)
double sign_corrected(const SmallRbm& rbm, const Vector& v, int j, double h_j);  // sigmoid((2h_j - 1) (W'v + 1)_j)
double corrected(const SmallRbm& rbm, const Vector& v, int j, double h_j);       // sigmoid((2h_j - 1) (W'v + a)_j)
}  // namespace problem3_row5
namespace problem3_row6 {
// prod_j p(h_j|v): printed as p(v,h), in truth p(h|v)
double product(const SmallRbm& rbm, const Vector& v, const Vector& h);
}  // namespace problem3_row6

// Not in the solution.
// F(v) = -b'v - sum_j softplus(u_j)
double free_energy(const SmallRbm& rbm, const Vector& v);
Vector df_dv(const SmallRbm& rbm, const Vector& v);  // -b - W sigmoid(u)
Matrix df_dw(const SmallRbm& rbm, const Vector& v);  // -v sigmoid(u)'
Vector df_db(const Vector& v);                       // -v
Vector df_da(const SmallRbm& rbm, const Vector& v);  // -sigmoid(u)

// log p(v) = -F(v) - log Z, Z = sum_v e^{-F(v)}
double log_likelihood(const SmallRbm& rbm, const Vector& v);
Matrix dlogp_dw(const SmallRbm& rbm, const Vector& v);  // v sigmoid(u)' - E[v h']
Vector dlogp_db(const SmallRbm& rbm, const Vector& v);  // v - E[v]
Vector dlogp_da(const SmallRbm& rbm, const Vector& v);  // sigmoid(u) - E[h]

}  // namespace derivation
