#pragma once
/// \file data/npy.hpp  NumPy's files: one array in an .npy, arrays by name in an .npz.
///
/// np.load reads what is written here, and what np.save, np.savez and np.savez_compressed write is read here: format
/// 1.0 to 3.0, C and Fortran order, both byte orders, float16 to float64, integers and bool. Not complex numbers,
/// texts, dates, structures, and never Python objects.
/// A file is never trusted: nothing in it can crash the readers or make them ask for memory out of proportion to the
/// file's size. (The size of what it holds: deflated zeros grow a thousandfold.)

#include <xtape/integers.hpp>
#include <xtape/tensor.hpp>

#include <map>
#include <string>

namespace xtape::data {

struct NumpyReadOptions {
  /// Take the nearest T for what T does not hold exactly: any float64 read as float, integers beyond 2^24 as float,
  /// beyond 2^53 as double. Otherwise such a file is refused.
  bool rounding = false;
};

/// Reads an .npy file that holds one array. The tensor is a leaf that requires no gradient; bool becomes 0 and 1.
/// Throws DataError with the path, the reason and the place if the file is missing, empty, truncated, longer than its
/// header says or not of this format; if the array has more than max_rank axes or is of another type; if T does not
/// hold its values exactly, unless options allow it.
template <class T> Tensor<T> read_npy(const std::string& path, const NumpyReadOptions& options = {});
/// The same for integers and bool: labels, indices. Floating-point numbers are refused, integers beyond int64, too.
Integers read_npy_integers(const std::string& path);

/// Writes a tensor as float32 or float64, integers as int64; little-endian, in C order, format 1.0. The file appears
/// whole or not at all, as that of write_safetensors.
/// Throws DataError with the path and the reason if it cannot be written or the tensor is undefined.
template <class T> void write_npy(const std::string& path, const Tensor<T>& tensor);
void write_npy(const std::string& path, const Integers& integers);

/// All arrays of an .npz file. Members are stored or deflated; their checksums are checked.
/// Throws DataError as read_npy does, also naming the array; if the file is no ZIP archive or a damaged one; if a
/// member is not an .npy file, comes twice, is encrypted or compressed otherwise.
template <class T>
std::map<std::string, Tensor<T>> read_npz(const std::string& path, const NumpyReadOptions& options = {});
/// One array of an .npz file; the others may be of any type. Throws DataError if there is none of that name.
template <class T>
Tensor<T> read_npz(const std::string& path, const std::string& name, const NumpyReadOptions& options = {});
Integers read_npz_integers(const std::string& path, const std::string& name);

struct NpzWriteOptions {
  bool compressed = false;  ///< deflated, as by np.savez_compressed
};
/// Writes arrays by name. The archive is put together in memory. Same arrays, same bytes: it holds no time.
/// Throws DataError as write_npy does, and if a name is not UTF-8, holds a zero byte or has more than 65531 bytes.
template <class T>
void write_npz(const std::string& path, const std::map<std::string, Tensor<T>>& arrays,
               const NpzWriteOptions& options = {});

#define XTAPE_NPY(T)                                                                                      \
  extern template Tensor<T> read_npy(const std::string&, const NumpyReadOptions&);                        \
  extern template void write_npy(const std::string&, const Tensor<T>&);                                   \
  extern template std::map<std::string, Tensor<T>> read_npz(const std::string&, const NumpyReadOptions&); \
  extern template Tensor<T> read_npz(const std::string&, const std::string&, const NumpyReadOptions&);    \
  extern template void write_npz(const std::string&, const std::map<std::string, Tensor<T>>&, const NpzWriteOptions&);
XTAPE_NPY(float)
XTAPE_NPY(double)
#undef XTAPE_NPY

}  // namespace xtape::data
