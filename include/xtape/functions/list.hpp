// clang-format off
// The one list of elementwise functions of one tensor. From a line here come the declaration, the op with its
// instantiations, the function on dual numbers that map() calls, a section of the op reference, and lines of the tests
// that go through all of them. A line is XTAPE_FUNCTION(name, Struct): the function's name, and the struct of
// functions/unary.hpp that holds value and derivative. The page is included several times, each time with another
// meaning of the macro, and so has no #pragma once.
#ifndef XTAPE_FUNCTION
#error "define XTAPE_FUNCTION(name, Struct) before including this page"
#endif

/// y = x^2.    dx = 2 x dy
///     square(z);  // = [0.25, 4, 1]
XTAPE_FUNCTION(square, Square)
/// y = sqrt x.    dx = dy / (2 y); inf at 0
///     sqrt(x);  // = [1.73205, 1, 1.41421]
XTAPE_FUNCTION(sqrt, Sqrt)
/// y = |x|.    dx = dy sign x, 0 at 0
///     abs(z);  // = [0.5, 2, 1]
XTAPE_FUNCTION(abs, Abs)
/// y = -1, 0 or 1.    dx = 0
///     sign(z);  // = [1, 1, -1]
XTAPE_FUNCTION(sign, Sign)
/// y = e^x.    dx = dy y
///     exp(z);  // = [1.64872, 7.38906, 0.367879]
XTAPE_FUNCTION(exp, Exp)
/// y = e^x - 1.    dx = dy e^x
///     expm1(z);  // = [0.648721, 6.38906, -0.632121]
XTAPE_FUNCTION(expm1, Expm1)
/// y = log x.    dx = dy / x
///     log(x);  // = [1.09861, 0, 0.693147]
XTAPE_FUNCTION(log, Log)
/// y = log(1 + x).    dx = dy / (1 + x)
///     log1p(x);  // = [1.38629, 0.693147, 1.09861]
XTAPE_FUNCTION(log1p, Log1p)
/// y = sin x.    dx = dy cos x
///     sin(z);  // = [0.479426, 0.909297, -0.841471]
XTAPE_FUNCTION(sin, Sin)
/// y = cos x.    dx = -dy sin x
///     cos(z);  // = [0.877583, -0.416147, 0.540302]
XTAPE_FUNCTION(cos, Cos)
/// y = tan x.    dx = dy (1 + y^2)
///     tan(z);  // = [0.546302, -2.18504, -1.55741]
XTAPE_FUNCTION(tan, Tan)
/// y = asin x in [-pi/2, pi/2]; NaN for |x| > 1.    dx = dy / sqrt(1 - x^2); inf at -1 and 1
///     asin(0.5 * z);  // = [0.25268, 1.5708, -0.523599]
XTAPE_FUNCTION(asin, Asin)
/// y = acos x in [0, pi]; NaN for |x| > 1.    dx = -dy / sqrt(1 - x^2); -inf at -1 and 1
///     acos(0.5 * z);  // = [1.31812, 0, 2.0944]
XTAPE_FUNCTION(acos, Acos)
/// y = atan x in [-pi/2, pi/2].    dx = dy / (1 + x^2)
///     atan(z);  // = [0.463648, 1.10715, -0.785398]
XTAPE_FUNCTION(atan, Atan)
/// y = (e^x - e^-x) / 2.    dx = dy cosh x
///     sinh(z);  // = [0.521095, 3.62686, -1.1752]
XTAPE_FUNCTION(sinh, Sinh)
/// y = (e^x + e^-x) / 2.    dx = dy sinh x
///     cosh(z);  // = [1.12763, 3.7622, 1.54308]
XTAPE_FUNCTION(cosh, Cosh)
/// y = asinh x.    dx = dy / sqrt(1 + x^2)
///     asinh(z);  // = [0.481212, 1.44364, -0.881374]
XTAPE_FUNCTION(asinh, Asinh)
/// y = acosh x >= 0; NaN for x < 1.    dx = dy / sqrt(x^2 - 1); inf at 1
///     acosh(x);  // = [1.76275, 0, 1.31696]
XTAPE_FUNCTION(acosh, Acosh)
/// y = atanh x; NaN for |x| > 1.    dx = dy / (1 - x^2); inf at -1 and 1
///     atanh(0.4 * z);  // = [0.202733, 1.09861, -0.423649]
XTAPE_FUNCTION(atanh, Atanh)
/// y = 2^x.    dx = dy y log 2
///     exp2(z);  // = [1.41421, 4, 0.5]
XTAPE_FUNCTION(exp2, Exp2)
/// y = log x / log 2.    dx = dy / (x log 2)
///     log2(x);  // = [1.58496, 0, 1]
XTAPE_FUNCTION(log2, Log2)
/// y = log x / log 10.    dx = dy / (x log 10)
///     log10(x);  // = [0.477121, 0, 0.30103]
XTAPE_FUNCTION(log10, Log10)
/// y = the real cube root of x.    dx = dy / (3 y^2); inf at 0
///     cbrt(z);  // = [0.793701, 1.25992, -1]
XTAPE_FUNCTION(cbrt, Cbrt)
/// y = 1 / x.    dx = -dy y^2
///     reciprocal(z);  // = [2, 0.5, -1]
XTAPE_FUNCTION(reciprocal, Reciprocal)
/// y = the largest whole number <= x.    dx = 0
///     floor(z);  // = [0, 2, -1]
XTAPE_FUNCTION(floor, Floor)
/// y = the smallest whole number >= x.    dx = 0
///     ceil(z);  // = [1, 2, -1]
XTAPE_FUNCTION(ceil, Ceil)
/// y = the nearest whole number; halves go away from 0, as with std::round.    dx = 0
///     round(z);  // = [1, 2, -1]
XTAPE_FUNCTION(round, Round)
/// y = tanh x.    dx = dy sech^2 x
///     tanh(z);  // = [0.462117, 0.964028, -0.761594]
XTAPE_FUNCTION(tanh, Tanh)
/// y = 1 / cosh^2 x.    dx = -2 dy y tanh x
///     sech_squared(z);  // = [0.786448, 0.0706508, 0.419974]
XTAPE_FUNCTION(sech_squared, SechSquared)
/// y = 1 / (1 + e^-x).    dx = dy y (1 - y), computed as sech^2(x/2) / 4
///     sigmoid(z);  // = [0.622459, 0.880797, 0.268941]
XTAPE_FUNCTION(sigmoid, Sigmoid)
/// y = log(1 + e^x).    dx = dy sigmoid x
///     softplus(z);  // = [0.974077, 2.12693, 0.313262]
XTAPE_FUNCTION(softplus, Softplus)
/// y = log sigmoid x = -log(1 + e^-x).    dx = dy sigmoid(-x)
///     log_sigmoid(z);  // = [-0.474077, -0.126928, -1.31326]
XTAPE_FUNCTION(log_sigmoid, LogSigmoid)
/// y = x / (1 + |x|).    dx = dy / (1 + |x|)^2
///     softsign(z);  // = [0.333333, 0.666667, -0.5]
XTAPE_FUNCTION(softsign, Softsign)
/// y = max(x, 0); NaN stays NaN.    dx = dy 1[x > 0]: 0 at 0 and at NaN
///     relu(z);  // = [0.5, 2, 0]
XTAPE_FUNCTION(relu, Relu)
/// y = x Phi(x), Phi the normal distribution function.    dx = dy (Phi(x) + x phi(x))
///     gelu(z);  // = [0.345731, 1.9545, -0.158655]
XTAPE_FUNCTION(gelu, Gelu)
/// y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which PyTorch calls gelu(x, approximate='tanh').
/// dx = dy (sigmoid(t) + x sigmoid'(t) t') with t = 2 sqrt(2 / pi) (x + 0.044715 x^3)
///     gelu_tanh(z);  // = [0.345714, 1.9546, -0.158808]
XTAPE_FUNCTION(gelu_tanh, GeluTanh)
/// y = x sigmoid x.    dx = dy (sigmoid x + x sigmoid' x)
///     silu(z);  // = [0.31123, 1.76159, -0.268941]
XTAPE_FUNCTION(silu, Silu)
/// y = 2/sqrt(pi) int_0^x e^(-t^2) dt.    dx = dy 2/sqrt(pi) e^(-x^2)
///     erf(z);  // = [0.5205, 0.995322, -0.842701]
XTAPE_FUNCTION(erf, Erf)
/// y = 1 - erf x, exact for large x.    dx = -dy 2/sqrt(pi) e^(-x^2)
///     erfc(z);  // = [0.4795, 0.00467773, 1.8427]
XTAPE_FUNCTION(erfc, Erfc)
/// y = erfinv x, the number with erf y = x; NaN for |x| > 1.    dx = dy sqrt(pi)/2 e^(y^2); inf at -1 and 1
///     erfinv(0.4 * z);  // = [0.179143, 0.906194, -0.370807]
XTAPE_FUNCTION(erfinv, ErfInv)

#undef XTAPE_FUNCTION
