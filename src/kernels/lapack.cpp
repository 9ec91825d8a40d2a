#include "lapack.hpp"

#include <xtape/detail/memory.hpp>
#include <xtape/error.hpp>

#include "blas_memory.hpp"
#include "strided.hpp"

#include <cblas.h>
// Without NDEBUG, xtensor-blas's LAPACK takes a macro from its BLAS and does not include it.
#include <xflens/cxxblas/auxiliary/debugmacro.h>
#include <xtensor-blas/xlapack.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

// xtensor-blas's wrappers want column-major containers and allocate their results. Its layer below, cxxlapack, takes
// pointers. It has no triangular solve for many right-hand sides that reads row-major matrices: that is CBLAS.
namespace xtape::kernels {
namespace {

// Every call of LAPACK comes through here.
int to_int(std::size_t n) {
  need_blas_memory();
  if (n > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    throw ShapeError("linear algebra: an extent is larger than LAPACK can address");
  return static_cast<int>(n);
}

// Room for so many numbers, of the pool's memory.
template <class V> class Room {
 public:
  explicit Room(std::size_t size) : storage_(xtape::detail::Storage::make(size * sizeof(V))) {}
  V* data() const { return static_cast<V*>(storage_->data()); }

 private:
  xtape::detail::Handle<xtape::detail::Storage> storage_;
};

// What LAPACK answers when asked how much room it needs: the number as a T, which in float may be rounded down.
template <class T> int room_size(T answer) {
  const double size = std::ceil(static_cast<double>(std::nextafter(answer, std::numeric_limits<T>::infinity())));
  if (!(size >= 0 && size <= std::numeric_limits<int>::max()))
    throw ShapeError("linear algebra: a matrix is larger than LAPACK can address");
  return std::max(1, static_cast<int>(size));
}

// out (columns, rows) = the transpose of in (rows, columns)
template <class T> void transpose(std::size_t rows, std::size_t columns, const T* in, T* out) {
  Strided s;
  s.shape = {columns, rows};
  s.stride = {1, static_cast<std::ptrdiff_t>(columns)};
  copy_from(s, in, out);
}

void trsm(CBLAS_UPLO uplo, CBLAS_TRANSPOSE op, CBLAS_DIAG diag, int n, int m, const float* a, float* x) {
  if (m == 1)
    cblas_strsv(CblasRowMajor, uplo, op, diag, n, a, n, x, 1);
  else
    cblas_strsm(CblasRowMajor, CblasLeft, uplo, op, diag, n, m, 1.0F, a, n, x, m);
}
void trsm(CBLAS_UPLO uplo, CBLAS_TRANSPOSE op, CBLAS_DIAG diag, int n, int m, const double* a, double* x) {
  if (m == 1)
    cblas_dtrsv(CblasRowMajor, uplo, op, diag, n, a, n, x, 1);
  else
    cblas_dtrsm(CblasRowMajor, CblasLeft, uplo, op, diag, n, m, 1.0, a, n, x, m);
}

}  // namespace

template <class T> std::size_t cholesky(std::size_t n, T* a) {
  if (n == 0) return 0;
  // What is the lower triangle by rows is the upper one by columns.
  const int size = to_int(n), info = cxxlapack::potrf<int>('U', size, a, size);
  if (info > 0) return static_cast<std::size_t>(info);
  for (std::size_t i = 0; i < n; ++i) {
    if (!(a[i * n + i] > 0)) return i + 1;  // NaN, from numbers that overflowed
    std::fill(a + i * n + i + 1, a + (i + 1) * n, T(0));
  }
  return 0;
}

template <class T> bool lu(std::size_t n, T* a, int* pivots) {
  if (n == 0) return true;
  const int size = to_int(n);
  return cxxlapack::getrf<int>(size, size, a, size, pivots) == 0;
}

template <class T>
void lu_solve(bool transposed, std::size_t n, std::size_t m, const T* factors, const int* pivots, const T* b, T* x) {
  if (n == 0 || m == 0) return;
  const int size = to_int(n), columns = to_int(m);
  const char op = transposed ? 'N' : 'T';  // the factors are those of Aᵀ
  if (m == 1) {
    if (x != b) std::copy(b, b + n, x);
    cxxlapack::getrs<int>(op, size, 1, factors, size, pivots, x, size);
    return;
  }
  const Room<T> room(n * m);
  transpose(n, m, b, room.data());
  cxxlapack::getrs<int>(op, size, columns, factors, size, pivots, room.data(), size);
  transpose(m, n, room.data(), x);
}

template <class T>
void triangular_solve(bool upper, bool transpose, bool unit_diagonal, std::size_t n, std::size_t m, const T* a, T* x) {
  if (n == 0 || m == 0) return;
  trsm(upper ? CblasUpper : CblasLower, transpose ? CblasTrans : CblasNoTrans, unit_diagonal ? CblasUnit : CblasNonUnit,
       to_int(n), to_int(m), a, x);
}

template <class T> void qr(std::size_t n, std::size_t m, const T* a, T* q, T* r) {
  if (m == 0) return;
  const int rows = to_int(n), columns = to_int(m);
  const Room<T> factors(n * m), tau(m);
  T* const f = factors.data();
  transpose(n, m, a, f);
  T first = 0, second = 0;
  cxxlapack::geqrf<int>(rows, columns, f, rows, tau.data(), &first, -1);
  cxxlapack::orgqr<int>(rows, columns, columns, f, rows, tau.data(), &second, -1);
  const int size = std::max(room_size(first), room_size(second));
  const Room<T> work(static_cast<std::size_t>(size));
  cxxlapack::geqrf<int>(rows, columns, f, rows, tau.data(), work.data(), size);
  const Room<T> signs(m);
  for (std::size_t i = 0; i < m; ++i) {
    const T sign = signs.data()[i] = f[i * n + i] < 0 ? T(-1) : T(1);
    for (std::size_t j = 0; j < m; ++j) r[i * m + j] = j < i ? T(0) : sign * f[j * n + i];
  }
  cxxlapack::orgqr<int>(rows, columns, columns, f, rows, tau.data(), work.data(), size);
  transpose(m, n, f, q);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < m; ++j) q[i * m + j] *= signs.data()[j];
}

template <class T> bool eigh(std::size_t n, T* values, T* vectors) {
  if (n == 0) return true;
  const int size = to_int(n);
  T work_answer = 0;
  int integers = 0;
  cxxlapack::syevd<int>('V', 'U', size, vectors, size, values, &work_answer, -1, &integers, -1);
  const int numbers = room_size(work_answer);
  const Room<T> work(static_cast<std::size_t>(numbers));
  const Room<int> integer_work(static_cast<std::size_t>(integers));
  const Room<T> by_rows(n * n);
  std::copy(vectors, vectors + n * n, by_rows.data());
  if (cxxlapack::syevd<int>('V', 'U', size, by_rows.data(), size, values, work.data(), numbers, integer_work.data(),
                            integers) != 0)
    return false;
  transpose(n, n, by_rows.data(), vectors);
  return true;
}

template <class T> bool eigvalsh(std::size_t n, T* values, T* a) {
  if (n == 0) return true;
  const int size = to_int(n);
  T work_answer = 0;
  int integers = 0;
  cxxlapack::syevd<int>('N', 'U', size, a, size, values, &work_answer, -1, &integers, -1);
  const int numbers = room_size(work_answer);
  const Room<T> work(static_cast<std::size_t>(numbers));
  const Room<int> integer_work(static_cast<std::size_t>(integers));
  return cxxlapack::syevd<int>('N', 'U', size, a, size, values, work.data(), numbers, integer_work.data(), integers) ==
         0;
}

template <class T> bool svd(std::size_t n, std::size_t m, const T* a, T* u, T* s, T* vt) {
  const std::size_t k = std::min(n, m);
  if (k == 0) return true;
  // By columns, a is Aᵀ = V diag(s) Uᵀ, and what LAPACK takes for U is Vᵀ by rows.
  const int rows = to_int(m), columns = to_int(n), least = to_int(k);
  const Room<T> copy(n * m);
  std::copy(a, a + n * m, copy.data());
  const Room<int> integers(8 * k);
  T answer = 0;
  const auto run = [&](T* work, int size) {
    return cxxlapack::gesdd<int>('S', rows, columns, copy.data(), rows, s, vt, rows, u, least, work, size,
                                 integers.data());
  };
  run(&answer, -1);
  const int size = room_size(answer);
  const Room<T> work(static_cast<std::size_t>(size));
  return run(work.data(), size) == 0;
}

#define XTAPE_LAPACK(T)                                                                       \
  template std::size_t cholesky(std::size_t, T*);                                             \
  template bool lu(std::size_t, T*, int*);                                                    \
  template void lu_solve(bool, std::size_t, std::size_t, const T*, const int*, const T*, T*); \
  template void triangular_solve(bool, bool, bool, std::size_t, std::size_t, const T*, T*);   \
  template void qr(std::size_t, std::size_t, const T*, T*, T*);                               \
  template bool eigh(std::size_t, T*, T*);                                                    \
  template bool eigvalsh(std::size_t, T*, T*);                                                \
  template bool svd(std::size_t, std::size_t, const T*, T*, T*, T*);
XTAPE_LAPACK(float)
XTAPE_LAPACK(double)

}  // namespace xtape::kernels
