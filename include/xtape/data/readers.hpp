#pragma once
/// \file readers.hpp  Data sets from files: IDX (MNIST and its kin), the course's text files, folders.
///
/// Every file may be plain or gzip-compressed, whatever it is called. A bad file throws DataError, whose
/// message names the function, the file and the place in it (byte, or line and column, of the
/// uncompressed content). A header is never trusted: memory grows with what is read, not with what is
/// promised.

#include <xtape/data/dataset.hpp>

#include <cstddef>
#include <string>

namespace xtape::data {

/// Reads a pair of IDX files of unsigned bytes: pictures (magic number 0x00000803, then count, rows, cols)
/// and labels (0x00000801, then count), all big-endian. Pixels are divided by 255.
/// Throws DataError if a file is missing, empty, truncated, of another type or longer than its header
/// says, if the two counts differ or are zero, or if a label is not in [0, classes).
Dataset read_idx(const std::string& images_path, const std::string& labels_path, std::size_t classes = 10);

/// Reads the course's text: one 28 x 28 digit a line, 784 pixels in [0, 1] and then the label 0..9,
/// separated by a comma, by blanks or by both. Blank lines are skipped. Independent of the locale.
/// Throws DataError if the file is missing, empty or a truncated gzip stream, if a line has not exactly
/// 785 columns, or if a column is no number or out of range (NaN included).
Dataset read_course(const std::string& path);

/// Reads a folder, recognised by the names of its files, each plain or with .gz:
/// - MNIST, Fashion-MNIST, …: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte,
///   t10k-labels-idx1-ubyte (also spelled train-images.idx3-ubyte and so on). There is no validation
///   file: the last sixth of the training pictures, at most 10000, becomes the validation set.
/// - the course: digitstrain.txt, digitsvalid.txt, digitstest.txt.
/// A folder that holds both kinds is read as the first. The name of the result is the folder's.
/// Throws DataError if the folder is missing, holds neither, or lacks some of the files, and whatever
/// read_idx and read_course throw.
Splits load(const std::string& directory);

}  // namespace xtape::data
