#pragma once
/// \file ops/elementwise.hpp  Elementwise functions of one tensor, each to every order. Formulas and
/// derivatives stand together in functions/unary.hpp.

#include <xtape/tensor.hpp>

namespace xtape {

/// y = -x
///     -x;  // = [-3, -1, -2]
template <class T> Tensor<T> operator-(const Tensor<T>& x);
/// y = x.    dx = dy
///     +x;  // = [3, 1, 2]
template <class T> Tensor<T> operator+(const Tensor<T>& x);
/// y = x^2.    dx = 2 x dy
///     square(z);  // = [0.25, 4, 1]
template <class T> Tensor<T> square(const Tensor<T>& x);
/// y = sqrt x.    dx = dy / (2 y); inf at 0
///     sqrt(x);  // = [1.73205, 1, 1.41421]
template <class T> Tensor<T> sqrt(const Tensor<T>& x);
/// y = |x|.    dx = dy sign x, 0 at 0
///     abs(z);  // = [0.5, 2, 1]
template <class T> Tensor<T> abs(const Tensor<T>& x);
/// y = -1, 0 or 1.    dx = 0
///     sign(z);  // = [1, 1, -1]
template <class T> Tensor<T> sign(const Tensor<T>& x);
/// y = e^x.    dx = dy y
///     exp(z);  // = [1.64872, 7.38906, 0.367879]
template <class T> Tensor<T> exp(const Tensor<T>& x);
/// y = e^x - 1.    dx = dy e^x
///     expm1(z);  // = [0.648721, 6.38906, -0.632121]
template <class T> Tensor<T> expm1(const Tensor<T>& x);
/// y = log x.    dx = dy / x
///     log(x);  // = [1.09861, 0, 0.693147]
template <class T> Tensor<T> log(const Tensor<T>& x);
/// y = log(1 + x).    dx = dy / (1 + x)
///     log1p(x);  // = [1.38629, 0.693147, 1.09861]
template <class T> Tensor<T> log1p(const Tensor<T>& x);
/// y = sin x.    dx = dy cos x
///     sin(z);  // = [0.479426, 0.909297, -0.841471]
template <class T> Tensor<T> sin(const Tensor<T>& x);
/// y = cos x.    dx = -dy sin x
///     cos(z);  // = [0.877583, -0.416147, 0.540302]
template <class T> Tensor<T> cos(const Tensor<T>& x);
/// y = tan x.    dx = dy (1 + y^2)
///     tan(z);  // = [0.546302, -2.18504, -1.55741]
template <class T> Tensor<T> tan(const Tensor<T>& x);
/// y = asin x in [-pi/2, pi/2]; NaN for |x| > 1.    dx = dy / sqrt(1 - x^2)
///     asin(0.5 * z);  // = [0.25268, 1.5708, -0.523599]
template <class T> Tensor<T> asin(const Tensor<T>& x);
/// y = acos x in [0, pi]; NaN for |x| > 1.    dx = -dy / sqrt(1 - x^2)
///     acos(0.5 * z);  // = [1.31812, 0, 2.0944]
template <class T> Tensor<T> acos(const Tensor<T>& x);
/// y = atan x in [-pi/2, pi/2].    dx = dy / (1 + x^2)
///     atan(z);  // = [0.463648, 1.10715, -0.785398]
template <class T> Tensor<T> atan(const Tensor<T>& x);
/// y = (e^x - e^-x) / 2.    dx = dy cosh x
///     sinh(z);  // = [0.521095, 3.62686, -1.1752]
template <class T> Tensor<T> sinh(const Tensor<T>& x);
/// y = (e^x + e^-x) / 2.    dx = dy sinh x
///     cosh(z);  // = [1.12763, 3.7622, 1.54308]
template <class T> Tensor<T> cosh(const Tensor<T>& x);
/// y = asinh x.    dx = dy / sqrt(1 + x^2)
///     asinh(z);  // = [0.481212, 1.44364, -0.881374]
template <class T> Tensor<T> asinh(const Tensor<T>& x);
/// y = acosh x >= 0; NaN for x < 1.    dx = dy / sqrt(x^2 - 1)
///     acosh(x);  // = [1.76275, 0, 1.31696]
template <class T> Tensor<T> acosh(const Tensor<T>& x);
/// y = atanh x; NaN for |x| > 1.    dx = dy / (1 - x^2)
///     atanh(0.4 * z);  // = [0.202733, 1.09861, -0.423649]
template <class T> Tensor<T> atanh(const Tensor<T>& x);
/// y = 2^x.    dx = dy y log 2
///     exp2(z);  // = [1.41421, 4, 0.5]
template <class T> Tensor<T> exp2(const Tensor<T>& x);
/// y = log x / log 2.    dx = dy / (x log 2)
///     log2(x);  // = [1.58496, 0, 1]
template <class T> Tensor<T> log2(const Tensor<T>& x);
/// y = log x / log 10.    dx = dy / (x log 10)
///     log10(x);  // = [0.477121, 0, 0.30103]
template <class T> Tensor<T> log10(const Tensor<T>& x);
/// y = the real cube root of x.    dx = dy / (3 y^2); inf at 0
///     cbrt(z);  // = [0.793701, 1.25992, -1]
template <class T> Tensor<T> cbrt(const Tensor<T>& x);
/// y = 1 / x.    dx = -dy y^2
///     reciprocal(z);  // = [2, 0.5, -1]
template <class T> Tensor<T> reciprocal(const Tensor<T>& x);
/// y = the largest whole number <= x.    dx = 0
///     floor(z);  // = [0, 2, -1]
template <class T> Tensor<T> floor(const Tensor<T>& x);
/// y = the smallest whole number >= x.    dx = 0
///     ceil(z);  // = [1, 2, -1]
template <class T> Tensor<T> ceil(const Tensor<T>& x);
/// y = the nearest whole number; halves go away from 0, as with std::round.    dx = 0
///     round(z);  // = [1, 2, -1]
template <class T> Tensor<T> round(const Tensor<T>& x);
/// y = tanh x.    dx = dy sech^2 x
///     tanh(z);  // = [0.462117, 0.964028, -0.761594]
template <class T> Tensor<T> tanh(const Tensor<T>& x);
/// y = 1 / cosh^2 x.    dx = -2 dy y tanh x
///     sech_squared(z);  // = [0.786448, 0.0706508, 0.419974]
template <class T> Tensor<T> sech_squared(const Tensor<T>& x);
/// y = 1 / (1 + e^-x).    dx = dy y (1 - y), computed as sech^2(x/2) / 4
///     sigmoid(z);  // = [0.622459, 0.880797, 0.268941]
template <class T> Tensor<T> sigmoid(const Tensor<T>& x);
/// y = log(1 + e^x).    dx = dy sigmoid x
///     softplus(z);  // = [0.974077, 2.12693, 0.313262]
template <class T> Tensor<T> softplus(const Tensor<T>& x);
/// y = log sigmoid x = -log(1 + e^-x).    dx = dy sigmoid(-x)
///     log_sigmoid(z);  // = [-0.474077, -0.126928, -1.31326]
template <class T> Tensor<T> log_sigmoid(const Tensor<T>& x);
/// y = x / (1 + |x|).    dx = dy / (1 + |x|)^2
///     softsign(z);  // = [0.333333, 0.666667, -0.5]
template <class T> Tensor<T> softsign(const Tensor<T>& x);
/// y = max(x, 0); NaN stays NaN.    dx = dy 1[x > 0]: 0 at 0 and at NaN
///     relu(z);  // = [0.5, 2, 0]
template <class T> Tensor<T> relu(const Tensor<T>& x);
/// y = x for x > 0, else slope x; NaN stays NaN.    dx = dy for x > 0, else slope dy, at 0 and at NaN too
///     leaky_relu(z);  // = [0.5, 2, -0.01]
template <class T> Tensor<T> leaky_relu(const Tensor<T>& x, double slope = 0.01);
/// y = x for x > 0, else alpha (e^x - 1).    dx = dy or alpha e^x dy
///     elu(z);  // = [0.5, 2, -0.632121]
template <class T> Tensor<T> elu(const Tensor<T>& x, double alpha = 1.0);
/// y = x Phi(x), Phi the normal distribution function.    dx = dy (Phi(x) + x phi(x))
///     gelu(z);  // = [0.345731, 1.9545, -0.158655]
template <class T> Tensor<T> gelu(const Tensor<T>& x);
/// y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which PyTorch calls gelu(x, approximate='tanh').
/// dx = dy (sigmoid(t) + x sigmoid'(t) t') with t = 2 sqrt(2 / pi) (x + 0.044715 x^3)
///     gelu_tanh(z);  // = [0.345714, 1.9546, -0.158808]
template <class T> Tensor<T> gelu_tanh(const Tensor<T>& x);
/// y = x sigmoid x.    dx = dy (sigmoid x + x sigmoid' x)
///     silu(z);  // = [0.31123, 1.76159, -0.268941]
template <class T> Tensor<T> silu(const Tensor<T>& x);
/// y = 2/sqrt(pi) int_0^x e^(-t^2) dt.    dx = dy 2/sqrt(pi) e^(-x^2)
///     erf(z);  // = [0.5205, 0.995322, -0.842701]
template <class T> Tensor<T> erf(const Tensor<T>& x);
/// y = 1 - erf x.    dx = -dy 2/sqrt(pi) e^(-x^2)
///     erfc(z);  // = [0.4795, 0.00467773, 1.8427]
template <class T> Tensor<T> erfc(const Tensor<T>& x);
/// y = min(max(x, low), high); NaN stays NaN.    dx = dy 1[low <= x <= high], and dy at NaN. Throws ValueError if
/// low > high or either is NaN.
///     clip(z, 0, 1);  // = [0.5, 1, 0]
template <class T> Tensor<T> clip(const Tensor<T>& x, double low, double high);

}  // namespace xtape
