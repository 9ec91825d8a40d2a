#include "ising.hpp"

namespace derivation {

std::vector<int> Ising::neighbours(int m) const {
  const int row = (m - 1) / columns, column = (m - 1) % columns;
  std::vector<int> result;
  if (row > 0) result.push_back(m - columns);
  if (row + 1 < rows) result.push_back(m + columns);
  if (column > 0) result.push_back(m - 1);
  if (column + 1 < columns) result.push_back(m + 1);
  return result;
}

double Ising::energy(const Vector& x, const Vector& y) const {
  double e = 0;
  for (int i = 1; i <= sites(); ++i) {
    e += h * x(i) - eta * x(i) * y(i);
    for (const int j : neighbours(i))
      if (i < j) e -= beta * x(i) * x(j);
  }
  return e;
}

std::vector<Vector> spins(int sites) {
  std::vector<Vector> all;
  for (unsigned bits = 0; bits < 1U << sites; ++bits) {
    Vector x(sites);
    for (int i = 1; i <= sites; ++i) x(i) = (bits >> (i - 1) & 1U) != 0 ? 1.0 : -1.0;
    all.push_back(x);
  }
  return all;
}

Vector with_spin(Vector x, int m, double spin) {
  x(m) = spin;
  return x;
}

namespace {
double field(const Ising& model, const Vector& x, int m) {
  double sum = 0;
  for (const int j : model.neighbours(m)) sum += x(j);
  return sum;
}
}  // namespace

double energy_difference(const Ising& model, const Vector& x, const Vector& y, int m) {
  return 2 * model.h - 2 * model.beta * field(model, x, m) - 2 * model.eta * y(m);
}

double icm(const Ising& model, const Vector& x, const Vector& y, int m) {
  const double argument = model.beta * field(model, x, m) + model.eta * y(m) - model.h;
  return argument > 0 ? 1.0 : argument < 0 ? -1.0 : 0.0;
}
double icm_keeping(const Ising& model, const Vector& x, const Vector& y, int m) {
  const double spin = icm(model, x, y, m);
  return spin == 0 ? x(m) : spin;
}

}  // namespace derivation
