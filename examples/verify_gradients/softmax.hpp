#pragma once
// Problem 1 by hand, from the flattened maps on: softmax, and the layers that may stand before it. Each
// derivative as the solution prints it and as it is right. Plain loops; xtape is not used here.

#include "array.hpp"

namespace derivation {

// Z = sum_j e^{F_j}
double partition(const Vector& f);

namespace row6 {
// S_i = e^{F_i} / Z
Vector printed(const Vector& f);
}  // namespace row6

// (i, j) holds dS_i/dF_j.
namespace row7 {
// (e^{F_i}/Z - e^{F_i} e^{F_j}) / Z^2
Matrix printed(const Vector& f);
// (delta_ij e^{F_i} Z - e^{F_i} e^{F_j}) / Z^2
Matrix corrected(const Vector& f);
}  // namespace row7

namespace row8 {
// delta_ij/Z - e^{F_i+F_j}/Z^2
Matrix printed(const Vector& f);
// delta_ij e^{F_i}/Z - e^{F_i+F_j}/Z^2
Matrix corrected(const Vector& f);
}  // namespace row8

namespace row9 {
// dLoss/dF_j = sum_i g_i (delta_ij/Z - e^{F_i+F_j}/Z^2), g = dLoss/dS
Vector printed(const Vector& f, const Vector& g);
// dLoss/dF_j = S_j (g_j - sum_i g_i S_i)
Vector corrected(const Vector& f, const Vector& g);
}  // namespace row9

// A linear layer on the image, d x d, instead of convolution and pooling. w(j, i): from pixel j to output i.
namespace row10 {
// F_i = sum_j W_{j,i} X_{1+floor((j-1)/d), 1+(j-1) mod d} + b_i
Vector forward(const Matrix& x, const Matrix& w, const Vector& b);
// dLoss/dW_{j,i} = dLoss/dF_i X_j
Matrix dloss_dw(const Matrix& x, const Vector& df);
// dLoss/db_i = dLoss/dF_i: not printed
Vector dloss_db(const Vector& df);
}  // namespace row10

// Not in the solution: what the assignment asked for, a softmax layer z = V F + c. v(a, j): to output a.
namespace dense {
Vector forward(const Vector& f, const Matrix& v, const Vector& c);
// dLoss/dz = S - t, for the cross-entropy with targets t that sum to 1
Vector delta(const Vector& s, const Vector& t);
// dLoss/dV = delta F^T,    dLoss/dc = delta,    dLoss/dF = V^T delta
Matrix dloss_dv(const Vector& delta, const Vector& f);
Vector dloss_dc(const Vector& delta);
Vector dloss_df(const Matrix& v, const Vector& delta);
}  // namespace dense

}  // namespace derivation
