#pragma once
// Problem 4 by hand: the energy of an Ising grid. Plain loops; xtape is not used here.

#include "array.hpp"

#include <vector>

namespace derivation {

// E(x,y) = h sum x_i - beta sum_{neighbours} x_i x_j - eta sum x_i y_i, every pair counted once; x and y hold
// -1 and +1, sites are numbered by rows, and sites at the border have fewer neighbours.
struct Ising {
  int rows, columns;
  double h, beta, eta;
  int sites() const { return rows * columns; }
  std::vector<int> neighbours(int m) const;
  double energy(const Vector& x, const Vector& y) const;
};

// All x of -1 and +1.
std::vector<Vector> spins(int sites);

// x with x_m = spin
Vector with_spin(Vector x, int m, double spin);

// E(x_m = +1) - E(x_m = -1) = 2h - 2 beta sum_{j in N(m)} x_j - 2 eta y_m
double energy_difference(const Ising& model, const Vector& x, const Vector& y, int m);

// x_m <- sign(beta sum_{j in N(m)} x_j + eta y_m - h); 0 at a tie, which is no spin.
double icm(const Ising& model, const Vector& x, const Vector& y, int m);
// The same; a tie keeps x_m.
double icm_keeping(const Ising& model, const Vector& x, const Vector& y, int m);

}  // namespace derivation
