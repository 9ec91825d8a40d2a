#pragma once
/// \file ops/elementwise.hpp  Elementwise functions of one tensor, each to every order. Formulas and
/// derivatives stand together in functions/unary.hpp, and those without options are listed in functions/list.hpp.

#include <xtape/tensor.hpp>

namespace xtape {

/// y = -x
///     -x;  // = [-3, -1, -2]
template <class T> Tensor<T> operator-(const Tensor<T>& x);
/// y = x.    dx = dy
///     +x;  // = [3, 1, 2]
template <class T> Tensor<T> operator+(const Tensor<T>& x);

#define XTAPE_FUNCTION(name, Struct) template <class T> Tensor<T> name(const Tensor<T>& x);
#include <xtape/functions/list.hpp>

/// y = x for x > 0, else slope x; NaN stays NaN.    dx = dy for x > 0, else slope dy, at 0 and at NaN too
///     leaky_relu(z);  // = [0.5, 2, -0.01]
template <class T> Tensor<T> leaky_relu(const Tensor<T>& x, double slope = 0.01);
/// y = x for x > 0, else alpha (e^x - 1).    dx = dy or alpha e^x dy
///     elu(z);  // = [0.5, 2, -0.632121]
template <class T> Tensor<T> elu(const Tensor<T>& x, double alpha = 1.0);
/// y = min(max(x, low), high); NaN stays NaN.    dx = dy 1[low <= x <= high], and dy at NaN. Throws ValueError if
/// low > high or either is NaN.
///     clip(z, 0, 1);  // = [0.5, 1, 0]
template <class T> Tensor<T> clip(const Tensor<T>& x, double low, double high);

}  // namespace xtape
