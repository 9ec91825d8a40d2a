#include <xtape/data/npy.hpp>
#include <xtape/error.hpp>

#include "input_file.hpp"
#include "npy_format.hpp"

namespace xtape::data {
namespace {

class FileSource final : public ByteSource {
 public:
  FileSource(std::string_view function, const std::string& path) : file_(function, path) {}
  std::uint64_t size() const override { return file_.size(); }
  void read(void* out, std::size_t bytes) override { file_.read(out, bytes); }

 private:
  std::string place() const override { return file_.place(); }

  detail::InputFile file_;
};

template <class V> void write_file(const std::string& path, const Shape& shape, std::span<const V> values) {
  detail::OutputFile out("write_npy", path);
  std::vector<unsigned char> copy;
  out.write(std::span<const char>(npy_header<V>(shape)));
  out.write(little_endian_bytes(values, copy));
  out.commit();
}

}  // namespace

template <class T> Tensor<T> read_npy(const std::string& path, const NumpyReadOptions& options) {
  return detail::naming("read_npy", path, [&] {
    FileSource source("read_npy", path);
    return read_array<T>(source, options);
  });
}
Integers read_npy_integers(const std::string& path) {
  return detail::naming("read_npy_integers", path, [&] {
    FileSource source("read_npy_integers", path);
    return read_integer_array(source);
  });
}

template <class T> void write_npy(const std::string& path, const Tensor<T>& tensor) {
  if (!tensor.defined()) detail::OutputFile("write_npy", path).fail("the tensor is undefined");
  write_file(path, tensor.shape(), tensor.span());
}
void write_npy(const std::string& path, const Integers& integers) {
  write_file(path, integers.shape(), std::span<const std::int64_t>(integers.begin(), integers.size()));
}

template Tensor<float> read_npy(const std::string&, const NumpyReadOptions&);
template Tensor<double> read_npy(const std::string&, const NumpyReadOptions&);
template void write_npy(const std::string&, const Tensor<float>&);
template void write_npy(const std::string&, const Tensor<double>&);

}  // namespace xtape::data
