#pragma once
// Problem 1 by hand, from the image to the flattened maps: convolution, max-pool, flatten. Each derivative
// as the solution prints it and as it is right. Plain loops; xtape is not used here.

#include "array.hpp"

#include <functional>
#include <string>

namespace derivation {

// Image d x d, two kernels k x k, stride s, pooling window p with stride 1.
struct Geometry {
  int d, k, s, p;
  int n() const { return (d - k) / s + 1; }  // side of a map Y
  int q() const { return n() - p + 1; }      // side of a pooled map P
  int features() const { return 2 * q() * q(); }
  std::string name() const;  // "(8,3,1,2)"
};

// "8,3,1,2" or a message that says what is wrong with it. Sides up to 12: comparing every entry of the
// Jacobians takes time that grows with the sixth power.
struct ParsedGeometry {
  Geometry geometry;
  std::string error;
};
ParsedGeometry parse_geometry(const std::string& text);

// Y^c_{m,n} = b^c + sum_{p,q} W^c_{p,q} X_{(m-1)s+p, (n-1)s+q}
Maps convolve(const Geometry& g, const Matrix& x, const Maps& w, const Vector& b);

// Where the largest element of a window of Y^c lies: Y^c_{m+i-1, n+j-1}. The first in row-major order wins.
struct Position {
  int i, j;
  bool operator==(const Position&) const = default;
};
Position argmax(const Geometry& g, const Maps& y, int c, int m, int n);

// P^c_{m,n} = max_{i,j} Y^c_{m+i-1, n+j-1}
Maps max_pool(const Geometry& g, const Maps& y);

// F_{index(c,m,n)} = P^c_{m,n}, by the right index.
Vector flatten(const Geometry& g, const Maps& pooled);

namespace row1 {
// dY^c_{m,n}/dW^c_{p,q} = X_{(m-1)s+p, (n-1)s+q}; 0 for the other kernel.
Maps printed(const Geometry& g, const Matrix& x, int c, int m, int n);
}  // namespace row1

namespace row2 {
// dLoss/dW^c_{p,q} = sum_{m,n} dLoss/dY^c X_{(m-1)s+p, (n-1)s+q}: which element of dLoss/dY^c is not printed.
// Read as one number for the whole map, the sum of its elements:
Maps one_number_a_map(const Geometry& g, const Maps& dy, const Matrix& x);
// Read with the only index that the left-hand side has, (p, q); 0 where there is no such element:
Maps index_of_the_left(const Geometry& g, const Maps& dy, const Matrix& x);
// Read with the index that the sum runs over, dLoss/dY^c_{m,n}:
Maps corrected(const Geometry& g, const Maps& dy, const Matrix& x);
}  // namespace row2

namespace row3 {
// dP^c_{m,n}/dY^c_{m+i-1,n+j-1} = 1[(i,j) = argmax of the window], the first maximum if there are several.
Maps printed(const Geometry& g, const Maps& y, int c, int m, int n);
// The same with "= argmax" read as "attains the maximum": at a tie several elements do.
Maps every_maximum(const Geometry& g, const Maps& y, int c, int m, int n);
}  // namespace row3

namespace row4 {
// dLoss/dY = sum_{i,j} dLoss/dP dP_{m,n}/dY_{m+i-1,n+j-1} 1[(i,j) = argmax]
// Read with the same (m, n) on both sides:
Maps same_index(const Geometry& g, const Maps& y, const Maps& dp);
// Read as an assignment to Y_{m+i-1,n+j-1} for each window in turn: the last one overwrites.
Maps overwriting(const Geometry& g, const Maps& y, const Maps& dp);
// dLoss/dY^c_{a,b} = sum_{i,j=1}^p dLoss/dP^c_{a-i+1,b-j+1} 1[(i,j) = argmax of window (a-i+1, b-j+1)],
// over the windows that exist.
Maps corrected(const Geometry& g, const Maps& y, const Maps& dp);
}  // namespace row4

namespace row5 {
// (c-1) side^2 + (m-1) side + n with the printed side, (d-k+1)/s - p + 1: not a whole number unless s = 1.
double side_printed(const Geometry& g);
// An index that is not whole, or beyond the last component, names no component of F.
using Index = std::function<double(const Geometry& g, int c, int m, int n)>;
double printed(const Geometry& g, int c, int m, int n);
// The same with the quotient rounded down, as integer division does, and rounded up.
double rounded_down(const Geometry& g, int c, int m, int n);
double rounded_up(const Geometry& g, int c, int m, int n);
// side q = (d-k)/s - p + 2
double corrected(const Geometry& g, int c, int m, int n);

bool names_a_component(const Geometry& g, double index);
// dLoss/dP^c_{m,n} = dLoss/dF_{index(c,m,n)}; 0 where the index names no component.
Maps dloss_dp(const Geometry& g, const Vector& df, const Index& index);
}  // namespace row5

// Not in the solution.
namespace extra {
// dLoss/dX_{u,v} = sum_c sum_{m,n} dLoss/dY^c_{m,n} W^c_{u-(m-1)s, v-(n-1)s}, where the kernel has that element.
Matrix dloss_dx(const Geometry& g, const Maps& dy, const Maps& w);
// dLoss/db^c = sum_{m,n} dLoss/dY^c_{m,n}
Vector dloss_db(const Geometry& g, const Maps& dy);
}  // namespace extra

}  // namespace derivation
