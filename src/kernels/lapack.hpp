#pragma once
// Factorisations and solutions of contiguous row-major matrices of finite numbers, by LAPACK and BLAS. Any extent
// may be 0.

#include <cstddef>

namespace xtape::kernels {

// a, symmetric (n, n), becomes the lower triangular L with A = L Lᵀ, zeros above the diagonal.
// Gives 0, or the order of the first leading minor that is not positive; a is then of no use.
template <class T> std::size_t cholesky(std::size_t n, T* a);

// a (n, n) becomes its LU factors with pivots, in LAPACK's order: those of Aᵀ. Gives false if a pivot is 0.
template <class T> bool lu(std::size_t n, T* a, int* pivots);
// op(A) X = B for the factors of A; B, X: (n, m); op is the transpose where asked. X may be B.
template <class T>
void lu_solve(bool transpose, std::size_t n, std::size_t m, const T* factors, const int* pivots, const T* b, T* x);

// op(A) X = B in place, x being B at first; A: (n, n), of which one triangle is read, the diagonal only if not unit.
template <class T>
void triangular_solve(bool upper, bool transpose, bool unit_diagonal, std::size_t n, std::size_t m, const T* a, T* x);

// A = Q R with n >= m. A, Q: (n, m), Qᵀ Q = 1; R: (m, m), upper triangular with a diagonal >= 0.
template <class T> void qr(std::size_t n, std::size_t m, const T* a, T* q, T* r);

// A = V diag(w) Vᵀ for a symmetric matrix; w ascending. `vectors` holds A at first. False if LAPACK gives up.
template <class T> bool eigh(std::size_t n, T* values, T* vectors);

// Its eigenvalues alone, in less than half the time; what `a` holds is then of no use.
template <class T> bool eigvalsh(std::size_t n, T* values, T* a);

// A = U diag(s) Vᵀ, A: (n, m), U: (n, k), Vᵀ: (k, m) with k = min(n, m); s descending. False if LAPACK gives up.
template <class T> bool svd(std::size_t n, std::size_t m, const T* a, T* u, T* s, T* vt);

}  // namespace xtape::kernels
