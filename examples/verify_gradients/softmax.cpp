#include "softmax.hpp"

#include <cmath>

namespace derivation {
namespace {

double delta_ij(int i, int j) { return i == j ? 1.0 : 0.0; }

template <class F> Matrix square_matrix(int size, const F& entry) {
  Matrix a(size, size);
  for (int i = 1; i <= size; ++i)
    for (int j = 1; j <= size; ++j) a(i, j) = entry(i, j);
  return a;
}

}  // namespace

double partition(const Vector& f) {
  double z = 0;
  for (int j = 1; j <= f.size(); ++j) z += std::exp(f(j));
  return z;
}

Vector row6::printed(const Vector& f) {
  const double z = partition(f);
  Vector s(f.size());
  for (int i = 1; i <= f.size(); ++i) s(i) = std::exp(f(i)) / z;
  return s;
}

Matrix row7::printed(const Vector& f) {
  const double z = partition(f);
  return square_matrix(f.size(),
                       [&](int i, int j) { return (std::exp(f(i)) / z - std::exp(f(i)) * std::exp(f(j))) / (z * z); });
}
Matrix row7::corrected(const Vector& f) {
  const double z = partition(f);
  return square_matrix(f.size(), [&](int i, int j) {
    return (delta_ij(i, j) * std::exp(f(i)) * z - std::exp(f(i)) * std::exp(f(j))) / (z * z);
  });
}

Matrix row8::printed(const Vector& f) {
  const double z = partition(f);
  return square_matrix(f.size(), [&](int i, int j) { return delta_ij(i, j) / z - std::exp(f(i) + f(j)) / (z * z); });
}
Matrix row8::corrected(const Vector& f) {
  const double z = partition(f);
  return square_matrix(
      f.size(), [&](int i, int j) { return delta_ij(i, j) * std::exp(f(i)) / z - std::exp(f(i) + f(j)) / (z * z); });
}

Vector row9::printed(const Vector& f, const Vector& g) {
  const double z = partition(f);
  Vector df(f.size());
  for (int j = 1; j <= f.size(); ++j)
    for (int i = 1; i <= f.size(); ++i) df(j) += g(i) * (delta_ij(i, j) / z - std::exp(f(i) + f(j)) / (z * z));
  return df;
}
Vector row9::corrected(const Vector& f, const Vector& g) {
  const Vector s = row6::printed(f);
  double mean = 0;
  for (int i = 1; i <= f.size(); ++i) mean += g(i) * s(i);
  Vector df(f.size());
  for (int j = 1; j <= f.size(); ++j) df(j) = s(j) * (g(j) - mean);
  return df;
}

namespace row10 {
Vector forward(const Matrix& x, const Matrix& w, const Vector& b) {
  const int d = x.extent(0);
  Vector f(w.extent(1));
  for (int i = 1; i <= f.size(); ++i) {
    f(i) = b(i);
    for (int j = 1; j <= d * d; ++j) f(i) += w(j, i) * x(1 + (j - 1) / d, 1 + (j - 1) % d);
  }
  return f;
}
Matrix dloss_dw(const Matrix& x, const Vector& df) {
  const int d = x.extent(0);
  Matrix dw(d * d, df.size());
  for (int j = 1; j <= d * d; ++j)
    for (int i = 1; i <= df.size(); ++i) dw(j, i) = df(i) * x(1 + (j - 1) / d, 1 + (j - 1) % d);
  return dw;
}
Vector dloss_db(const Vector& df) { return df; }
}  // namespace row10

namespace dense {
Vector forward(const Vector& f, const Matrix& v, const Vector& c) {
  Vector z(c.size());
  for (int a = 1; a <= c.size(); ++a) {
    z(a) = c(a);
    for (int j = 1; j <= f.size(); ++j) z(a) += v(a, j) * f(j);
  }
  return z;
}
Vector delta(const Vector& s, const Vector& t) {
  Vector result(s.size());
  for (int a = 1; a <= s.size(); ++a) result(a) = s(a) - t(a);
  return result;
}
Matrix dloss_dv(const Vector& delta, const Vector& f) {
  Matrix dv(delta.size(), f.size());
  for (int a = 1; a <= delta.size(); ++a)
    for (int j = 1; j <= f.size(); ++j) dv(a, j) = delta(a) * f(j);
  return dv;
}
Vector dloss_dc(const Vector& delta) { return delta; }
Vector dloss_df(const Matrix& v, const Vector& delta) {
  Vector df(v.extent(1));
  for (int j = 1; j <= df.size(); ++j)
    for (int a = 1; a <= delta.size(); ++a) df(j) += v(a, j) * delta(a);
  return df;
}
}  // namespace dense

}  // namespace derivation
