#pragma once
/// \file error.hpp  Everything that xtape throws derives from xtape::Error. A message starts with the
/// name of the op or function, then says what was given and what was expected, e.g.
/// `matmul: inner dimensions differ: (32, 784) x (100, 10)`.

#include <xtape/detail/same_layout.hpp>

#include <stdexcept>
#include <string>

namespace xtape {

/// Base of everything thrown by xtape.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Shapes or axes that do not fit an operation.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A tape used in a way that has no gradient: nothing recorded, swept twice, a leaf changed since.
class TapeError : public Error {
 public:
  using Error::Error;
};

/// On a tape with TapeOptions::anomaly: an op that made a NaN or an infinity.
class AnomalyError : public Error {
 public:
  using Error::Error;
};

/// More memory than there is: the message says how much was asked for, and how much there was.
class MemoryError : public Error {
 public:
  using Error::Error;
};

/// A parameter outside its range: a dropout rate of 2, a label of 12 among 10 classes.
class ValueError : public Error {
 public:
  using Error::Error;
};

/// A file that is missing, truncated or not what its name says; the message names file and place.
class DataError : public Error {
 public:
  using Error::Error;
};

}  // namespace xtape
