#pragma once
/// \file ops/elementwise.hpp  Elementwise functions of one tensor, each to every order. Formulas and
/// derivatives stand together in functions/unary.hpp.

#include <xtape/tensor.hpp>

namespace xtape {

/// y = -x
template <class T> Tensor<T> operator-(const Tensor<T>& x);
/// y = x
template <class T> Tensor<T> operator+(const Tensor<T>& x) { return x; }
/// y = x^2.    dx = 2 x dy
template <class T> Tensor<T> square(const Tensor<T>& x);
/// y = sqrt x.    dx = dy / (2 y); inf at 0
template <class T> Tensor<T> sqrt(const Tensor<T>& x);
/// y = |x|.    dx = dy sign x, 0 at 0
template <class T> Tensor<T> abs(const Tensor<T>& x);
/// y = -1, 0 or 1.    dx = 0
template <class T> Tensor<T> sign(const Tensor<T>& x);
/// y = e^x.    dx = dy y
template <class T> Tensor<T> exp(const Tensor<T>& x);
/// y = e^x - 1.    dx = dy e^x
template <class T> Tensor<T> expm1(const Tensor<T>& x);
/// y = log x.    dx = dy / x
template <class T> Tensor<T> log(const Tensor<T>& x);
/// y = log(1 + x).    dx = dy / (1 + x)
template <class T> Tensor<T> log1p(const Tensor<T>& x);
/// y = sin x.    dx = dy cos x
template <class T> Tensor<T> sin(const Tensor<T>& x);
/// y = cos x.    dx = -dy sin x
template <class T> Tensor<T> cos(const Tensor<T>& x);
/// y = tan x.    dx = dy (1 + y^2)
template <class T> Tensor<T> tan(const Tensor<T>& x);
/// y = asin x in [-pi/2, pi/2]; NaN for |x| > 1.    dx = dy / sqrt(1 - x^2)
template <class T> Tensor<T> asin(const Tensor<T>& x);
/// y = acos x in [0, pi]; NaN for |x| > 1.    dx = -dy / sqrt(1 - x^2)
template <class T> Tensor<T> acos(const Tensor<T>& x);
/// y = atan x in [-pi/2, pi/2].    dx = dy / (1 + x^2)
template <class T> Tensor<T> atan(const Tensor<T>& x);
/// y = (e^x - e^-x) / 2.    dx = dy cosh x
template <class T> Tensor<T> sinh(const Tensor<T>& x);
/// y = (e^x + e^-x) / 2.    dx = dy sinh x
template <class T> Tensor<T> cosh(const Tensor<T>& x);
/// y = asinh x.    dx = dy / sqrt(1 + x^2)
template <class T> Tensor<T> asinh(const Tensor<T>& x);
/// y = acosh x >= 0; NaN for x < 1.    dx = dy / sqrt(x^2 - 1)
template <class T> Tensor<T> acosh(const Tensor<T>& x);
/// y = atanh x; NaN for |x| > 1.    dx = dy / (1 - x^2)
template <class T> Tensor<T> atanh(const Tensor<T>& x);
/// y = 2^x.    dx = dy y log 2
template <class T> Tensor<T> exp2(const Tensor<T>& x);
/// y = log x / log 2.    dx = dy / (x log 2)
template <class T> Tensor<T> log2(const Tensor<T>& x);
/// y = log x / log 10.    dx = dy / (x log 10)
template <class T> Tensor<T> log10(const Tensor<T>& x);
/// y = the real cube root of x.    dx = dy / (3 y^2); inf at 0
template <class T> Tensor<T> cbrt(const Tensor<T>& x);
/// y = 1 / x.    dx = -dy y^2
template <class T> Tensor<T> reciprocal(const Tensor<T>& x);
/// y = the largest whole number <= x.    dx = 0
template <class T> Tensor<T> floor(const Tensor<T>& x);
/// y = the smallest whole number >= x.    dx = 0
template <class T> Tensor<T> ceil(const Tensor<T>& x);
/// y = the nearest whole number; halves go away from 0, as with std::round.    dx = 0
template <class T> Tensor<T> round(const Tensor<T>& x);
/// y = tanh x.    dx = dy sech^2 x
template <class T> Tensor<T> tanh(const Tensor<T>& x);
/// y = 1 / cosh^2 x.    dx = -2 dy y tanh x
template <class T> Tensor<T> sech_squared(const Tensor<T>& x);
/// y = 1 / (1 + e^-x).    dx = dy y (1 - y), computed as sech^2(x/2) / 4
template <class T> Tensor<T> sigmoid(const Tensor<T>& x);
/// y = log(1 + e^x).    dx = dy sigmoid x
template <class T> Tensor<T> softplus(const Tensor<T>& x);
/// y = log sigmoid x = -log(1 + e^-x).    dx = dy sigmoid(-x)
template <class T> Tensor<T> log_sigmoid(const Tensor<T>& x);
/// y = x / (1 + |x|).    dx = dy / (1 + |x|)^2
template <class T> Tensor<T> softsign(const Tensor<T>& x);
/// y = max(x, 0).    dx = dy 1[x > 0]
template <class T> Tensor<T> relu(const Tensor<T>& x);
/// y = x for x > 0, else slope x.    dx = dy or slope dy
template <class T> Tensor<T> leaky_relu(const Tensor<T>& x, double slope = 0.01);
/// y = x for x > 0, else alpha (e^x - 1).    dx = dy or alpha e^x dy
template <class T> Tensor<T> elu(const Tensor<T>& x, double alpha = 1.0);
/// y = x Phi(x), Phi the normal distribution function.    dx = dy (Phi(x) + x phi(x))
template <class T> Tensor<T> gelu(const Tensor<T>& x);
/// y = x sigmoid x.    dx = dy (sigmoid x + x sigmoid' x)
template <class T> Tensor<T> silu(const Tensor<T>& x);
/// y = 2/sqrt(pi) int_0^x e^(-t^2) dt.    dx = dy 2/sqrt(pi) e^(-x^2)
template <class T> Tensor<T> erf(const Tensor<T>& x);
/// y = 1 - erf x.    dx = -dy 2/sqrt(pi) e^(-x^2)
template <class T> Tensor<T> erfc(const Tensor<T>& x);
/// y = min(max(x, low), high).    dx = dy 1[low <= x <= high]. Throws ValueError if low > high.
template <class T> Tensor<T> clip(const Tensor<T>& x, double low, double high);

}  // namespace xtape
