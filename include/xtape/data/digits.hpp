#pragma once
/// \file digits.hpp  Handwritten-like digits made in code: data for examples and tests, without a download.

#include <xtape/data/dataset.hpp>

#include <cstddef>
#include <cstdint>

namespace xtape::data {

/// `count` grey 28 x 28 digits, white (1) on black (0), pixels in steps of 1/255, ten classes.
///
/// Each is a pen stroke through jittered control points of one of several ways to write that digit, with
/// slant, size, aspect, rotation, place, pen width and a smooth elastic distortion of its own. Every ten
/// consecutive ones hold each class once, in a random order. Digit i depends on `seed` and i only, so a
/// smaller set is the beginning of a larger one, and the bytes are the same on every machine.
Dataset digits(std::size_t count, std::uint64_t seed);

/// Train, validation and test digits, independent of each other; `train` is digits(n_train, seed).
/// Trained on the default 6000, a linear classifier is right on about 9 in 10 test digits, a small
/// convolutional network on about 99 in 100. The name is "built-in digits".
Splits builtin_digits(std::uint64_t seed, std::size_t n_train = 6000, std::size_t n_valid = 1000,
                      std::size_t n_test = 2000);

}  // namespace xtape::data
