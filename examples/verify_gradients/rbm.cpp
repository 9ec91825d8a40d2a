#include "rbm.hpp"

#include <cmath>

namespace derivation {

std::vector<Vector> binary_vectors(int n) {
  std::vector<Vector> all;
  for (unsigned bits = 0; bits < 1U << n; ++bits) {
    Vector v(n);
    for (int i = 1; i <= n; ++i) v(i) = bits >> (i - 1) & 1U;
    all.push_back(v);
  }
  return all;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

namespace enumeration_of {
double energy(const SmallRbm& rbm, const Vector& v, const Vector& h) {
  double e = 0;
  for (int i = 1; i <= rbm.visible(); ++i)
    for (int j = 1; j <= rbm.hidden(); ++j) e -= v(i) * rbm.w(i, j) * h(j);
  for (int i = 1; i <= rbm.visible(); ++i) e -= rbm.b(i) * v(i);
  for (int j = 1; j <= rbm.hidden(); ++j) e -= rbm.a(j) * h(j);
  return e;
}
double partition(const SmallRbm& rbm) {
  double z = 0;
  for (const Vector& v : binary_vectors(rbm.visible()))
    for (const Vector& h : binary_vectors(rbm.hidden())) z += std::exp(-energy(rbm, v, h));
  return z;
}
double joint(const SmallRbm& rbm, const Vector& v, const Vector& h) {
  return std::exp(-energy(rbm, v, h)) / partition(rbm);
}
double visible(const SmallRbm& rbm, const Vector& v) {
  double p = 0;
  for (const Vector& h : binary_vectors(rbm.hidden())) p += joint(rbm, v, h);
  return p;
}
double hidden(const SmallRbm& rbm, const Vector& h) {
  double p = 0;
  for (const Vector& v : binary_vectors(rbm.visible())) p += joint(rbm, v, h);
  return p;
}
double conditional(const SmallRbm& rbm, const Vector& v, const Vector& h) {
  double all = 0;
  for (const Vector& other : binary_vectors(rbm.hidden())) all += std::exp(-energy(rbm, v, other));
  return std::exp(-energy(rbm, v, h)) / all;
}
double conditional(const SmallRbm& rbm, const Vector& v, int j, double value) {
  double p = 0;
  for (const Vector& h : binary_vectors(rbm.hidden()))
    if (h(j) == value) p += conditional(rbm, v, h);
  return p;
}
double free_energy(const SmallRbm& rbm, const Vector& v) {
  double all = 0;
  for (const Vector& h : binary_vectors(rbm.hidden())) all += std::exp(-energy(rbm, v, h));
  return -std::log(all);
}

namespace {
Moments no_moments(const SmallRbm& rbm) {
  return {Matrix(rbm.visible(), rbm.hidden()), Vector(rbm.visible()), Vector(rbm.hidden())};
}
void add(Moments& m, double p, const Vector& v, const Vector& h) {
  for (int i = 1; i <= v.size(); ++i)
    for (int j = 1; j <= h.size(); ++j) m.vh(i, j) += p * v(i) * h(j);
  for (int i = 1; i <= v.size(); ++i) m.v(i) += p * v(i);
  for (int j = 1; j <= h.size(); ++j) m.h(j) += p * h(j);
}
}  // namespace
Moments moments(const SmallRbm& rbm) {
  Moments m = no_moments(rbm);
  const double z = partition(rbm);
  for (const Vector& v : binary_vectors(rbm.visible()))
    for (const Vector& h : binary_vectors(rbm.hidden())) add(m, std::exp(-energy(rbm, v, h)) / z, v, h);
  return m;
}
Moments moments_given(const SmallRbm& rbm, const Vector& v) {
  Moments m = no_moments(rbm);
  for (const Vector& h : binary_vectors(rbm.hidden())) add(m, conditional(rbm, v, h), v, h);
  return m;
}
}  // namespace enumeration_of

Vector hidden_input(const SmallRbm& rbm, const Vector& v) {
  Vector u(rbm.hidden());
  for (int j = 1; j <= rbm.hidden(); ++j) {
    u(j) = rbm.a(j);
    for (int i = 1; i <= rbm.visible(); ++i) u(j) += rbm.w(i, j) * v(i);
  }
  return u;
}

double problem3_row1::printed(const SmallRbm& rbm, const Vector& v, const Vector& h) {
  return enumeration_of::joint(rbm, v, h) / enumeration_of::hidden(rbm, h);
}
double problem3_row1::corrected(const SmallRbm& rbm, const Vector& v, const Vector& h) {
  return enumeration_of::joint(rbm, v, h) / enumeration_of::visible(rbm, v);
}
double problem3_row2::printed(const SmallRbm& rbm, const Vector& v, const Vector& h) {
  const Vector u = hidden_input(rbm, v);
  double p = 1;
  for (int i = 1; i <= u.size(); ++i) p *= std::exp(h(i) * u(i)) / (std::exp(0 * u(i)) + std::exp(1 * u(i)));
  return p;
}
double problem3_row3::printed(const SmallRbm& rbm, const Vector& v, const Vector& h) {
  const Vector u = hidden_input(rbm, v);
  double p = 1;
  for (int i = 1; i <= u.size(); ++i) p *= sigmoid(h(i) * u(i));
  return p;
}
double problem3_row3::corrected(const SmallRbm& rbm, const Vector& v, const Vector& h) {
  const Vector u = hidden_input(rbm, v);
  double p = 1;
  for (int i = 1; i <= u.size(); ++i) p *= sigmoid((2 * h(i) - 1) * u(i));
  return p;
}
double problem3_row4::printed(const SmallRbm& rbm, const Vector& v, int j) { return sigmoid(hidden_input(rbm, v)(j)); }

namespace problem3_row5 {
double printed(const SmallRbm& rbm, const Vector& v, int j, double h_j) {
  return sigmoid(h_j * (hidden_input(rbm, v)(j) - rbm.a(j) + 1));
}
double bias_corrected(const SmallRbm& rbm, const Vector& v, int j, double h_j) {
  return sigmoid(h_j * hidden_input(rbm, v)(j));
}
double sign_corrected(const SmallRbm& rbm, const Vector& v, int j, double h_j) {
  return sigmoid((2 * h_j - 1) * (hidden_input(rbm, v)(j) - rbm.a(j) + 1));
}
double corrected(const SmallRbm& rbm, const Vector& v, int j, double h_j) {
  return sigmoid((2 * h_j - 1) * hidden_input(rbm, v)(j));
}
}  // namespace problem3_row5

double problem3_row6::product(const SmallRbm& rbm, const Vector& v, const Vector& h) {
  double p = 1;
  for (int j = 1; j <= h.size(); ++j) p *= problem3_row5::corrected(rbm, v, j, h(j));
  return p;
}

double free_energy(const SmallRbm& rbm, const Vector& v) {
  const Vector u = hidden_input(rbm, v);
  double f = 0;
  for (int i = 1; i <= v.size(); ++i) f -= rbm.b(i) * v(i);
  for (int j = 1; j <= u.size(); ++j) f -= std::log1p(std::exp(u(j)));
  return f;
}
Vector df_dv(const SmallRbm& rbm, const Vector& v) {
  const Vector u = hidden_input(rbm, v);
  Vector result(v.size());
  for (int i = 1; i <= v.size(); ++i) {
    result(i) = -rbm.b(i);
    for (int j = 1; j <= u.size(); ++j) result(i) -= rbm.w(i, j) * sigmoid(u(j));
  }
  return result;
}
Matrix df_dw(const SmallRbm& rbm, const Vector& v) {
  const Vector u = hidden_input(rbm, v);
  Matrix result(v.size(), u.size());
  for (int i = 1; i <= v.size(); ++i)
    for (int j = 1; j <= u.size(); ++j) result(i, j) = -v(i) * sigmoid(u(j));
  return result;
}
Vector df_db(const Vector& v) {
  Vector result(v.size());
  for (int i = 1; i <= v.size(); ++i) result(i) = -v(i);
  return result;
}
Vector df_da(const SmallRbm& rbm, const Vector& v) {
  const Vector u = hidden_input(rbm, v);
  Vector result(u.size());
  for (int j = 1; j <= u.size(); ++j) result(j) = -sigmoid(u(j));
  return result;
}

double log_likelihood(const SmallRbm& rbm, const Vector& v) {
  double z = 0;
  for (const Vector& other : binary_vectors(rbm.visible())) z += std::exp(-free_energy(rbm, other));
  return -free_energy(rbm, v) - std::log(z);
}
Matrix dlogp_dw(const SmallRbm& rbm, const Vector& v) {
  const Vector u = hidden_input(rbm, v);
  const auto mean = enumeration_of::moments(rbm);
  Matrix result(v.size(), u.size());
  for (int i = 1; i <= v.size(); ++i)
    for (int j = 1; j <= u.size(); ++j) result(i, j) = v(i) * sigmoid(u(j)) - mean.vh(i, j);
  return result;
}
Vector dlogp_db(const SmallRbm& rbm, const Vector& v) {
  const auto mean = enumeration_of::moments(rbm);
  Vector result(v.size());
  for (int i = 1; i <= v.size(); ++i) result(i) = v(i) - mean.v(i);
  return result;
}
Vector dlogp_da(const SmallRbm& rbm, const Vector& v) {
  const Vector u = hidden_input(rbm, v);
  const auto mean = enumeration_of::moments(rbm);
  Vector result(u.size());
  for (int j = 1; j <= u.size(); ++j) result(j) = sigmoid(u(j)) - mean.h(j);
  return result;
}

}  // namespace derivation
