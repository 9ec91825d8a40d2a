#pragma once
// A sum that does not lose digits, however many terms it has.

#include <cmath>

namespace xtape::kernels {

// The type in which sums of T have digits and range to spare.
template <class T> struct WideOf;
template <> struct WideOf<float> { using type = double; };
template <> struct WideOf<double> { using type = long double; };
template <class T> using Wide = typename WideOf<T>::type;

// A sum of float is kept in double; of one of double, what each addition rounds off (Knuth's two-sum) is added up
// beside.
template <class T> class Total;
template <> class Total<float> {
 public:
  Total() = default;
  explicit Total(float x) : sum_(static_cast<double>(x)) {}
  void add(float x) { sum_ += static_cast<double>(x); }
  float value() const { return static_cast<float>(sum_); }

 private:
  double sum_ = 0;
};
template <> class Total<double> {
 public:
  Total() = default;
  explicit Total(double x) : sum_(x) {}
  void add(double x) {
    const double next = sum_ + x, part = next - sum_;
    lost_ += (sum_ - (next - part)) + (x - part);
    sum_ = next;
  }
  double value() const { return std::isfinite(sum_) ? sum_ + lost_ : sum_; }

 private:
  double sum_ = 0, lost_ = 0;
};

}  // namespace xtape::kernels
