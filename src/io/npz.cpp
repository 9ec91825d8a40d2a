#include <xtape/data/npy.hpp>
#include <xtape/error.hpp>

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>

#include "bytes.hpp"
#include "input_file.hpp"
#include "npy_format.hpp"

namespace xtape::data {
namespace {

using detail::OutputFile;

constexpr std::string_view ending = ".npy";
// No deflated byte gives more than this many.
constexpr std::uint64_t largest_growth = 1032;
constexpr std::size_t longest_name = 65535;
constexpr zip_uint16_t first_day = 1 << 5 | 1;  // 1 January 1980, ZIP's first, for files that hold no time

// The record that ends an archive, and says that there is nothing before it.
constexpr std::array<char, 22> empty_archive{'P', 'K', 5, 6};

/// What libzip says of an error code.
std::string zip_message(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string message = zip_error_strerror(&error);
  zip_error_fini(&error);
  return message;
}

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* file) const { zip_fclose(file); }
  void operator()(zip_source_t* source) const { zip_source_free(source); }
};
using Archive = std::unique_ptr<zip_t, Discard>;
using Source = std::unique_ptr<zip_source_t, Discard>;

// ---- reading ----

/// An .npz file, whose list of members is consistent and fits the file. (libzip refuses a name that comes twice.)
class InputArchive {
 public:
  struct Member {
    zip_uint64_t index;
    std::uint64_t size;
    std::string name;  ///< the array's
  };

  InputArchive(std::string_view function, std::string path) : function_(function), path_(std::move(path)) {
    detail::RegularFile file(function_, path_);
    const std::uint64_t file_size = file.size();
    if (file_size == 0) fail("empty file");
    int code = 0;
    archive_.reset(zip_fdopen(file.descriptor(), ZIP_CHECKCONS, &code));
    if (archive_) file.release();  // the archive's
    if (code == ZIP_ER_MEMORY) throw std::bad_alloc();
    if (!archive_) fail("cannot be read as a ZIP archive: " + zip_message(code));
    std::uint64_t total = 0;
    for (zip_int64_t i = 0; i < zip_get_num_entries(archive_.get(), 0); ++i) {
      const zip_stat_t status = stat(static_cast<zip_uint64_t>(i));
      // No two members share bytes of the file: it could be a bomb otherwise.
      if (status.comp_size > file_size - total) fail("its members take more bytes than the file has");
      total += status.comp_size;
      members_.push_back({status.index, status.size, array_name(status)});
    }
  }

  const std::vector<Member>& members() const { return members_; }
  zip_t* get() const { return archive_.get(); }

  std::string place() const { return fmt::format("{}: {}", function_, path_); }
  [[noreturn]] void fail(std::string_view what) const { throw DataError(fmt::format("{}: {}", place(), what)); }

 private:
  zip_stat_t stat(zip_uint64_t index) const {
    constexpr zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_INDEX | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                    ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    zip_stat_t status;
    zip_stat_init(&status);
    if (zip_stat_index(archive_.get(), index, ZIP_FL_ENC_GUESS, &status) != 0 || (status.valid & needed) != needed)
      fail(fmt::format("member {}: {}", index, zip_strerror(archive_.get())));
    return status;
  }
  std::string array_name(const zip_stat_t& status) const {
    std::string_view name = status.name;
    const auto refuse = [&](std::string_view what) { fail(fmt::format("member {} {}", quote(name), what)); };
    if (!name.ends_with(ending)) refuse("is not an .npy file");
    if (status.encryption_method != ZIP_EM_NONE) refuse("is encrypted");
    const bool deflated = status.comp_method == ZIP_CM_DEFLATE;
    if (!deflated && status.comp_method != ZIP_CM_STORE)
      refuse(fmt::format("is compressed by method {}, expected stored or deflated", status.comp_method));
    if (status.size / (deflated ? largest_growth : 1) > status.comp_size)
      refuse(fmt::format("cannot have {} bytes in {}", status.size, status.comp_size));
    name.remove_suffix(ending.size());
    return std::string(name);
  }

  std::string_view function_;
  std::string path_;
  Archive archive_;
  std::vector<Member> members_;
};

class MemberSource final : public ByteSource {
 public:
  MemberSource(const InputArchive& archive, const InputArchive::Member& member)
      : archive_(archive), member_(member), file_(zip_fopen_index(archive.get(), member.index, 0)) {
    if (!file_) fail(zip_strerror(archive.get()));
  }
  std::uint64_t size() const override { return member_.size; }
  void read(void* out, std::size_t bytes) override {
    auto* to = static_cast<char*>(out);
    while (bytes > 0) {
      const zip_int64_t got = zip_fread(file_.get(), to, bytes);
      if (got < 0) fail_reading();
      if (got == 0) fail("ends before its size");
      to += got;
      bytes -= static_cast<std::size_t>(got);
    }
  }
  /// The checksum is compared where the member ends.
  void finish() {
    char more = 0;
    const zip_int64_t got = zip_fread(file_.get(), &more, 1);
    if (got < 0) fail_reading();
    if (got > 0) fail("is longer than its size");
  }

 private:
  std::string place() const override { return fmt::format("{}: array {}", archive_.place(), quote(member_.name)); }
  [[noreturn]] void fail_reading() const { fail(zip_error_strerror(zip_file_get_error(file_.get()))); }

  const InputArchive& archive_;
  const InputArchive::Member& member_;
  std::unique_ptr<zip_file_t, Discard> file_;
};

template <class Read>
auto read_member(const InputArchive& archive, const InputArchive::Member& member, const Read& read) {
  MemberSource source(archive, member);
  auto array = read(source);
  source.finish();
  return array;
}

const InputArchive::Member& find_member(const InputArchive& archive, const std::string& name) {
  const auto found = std::ranges::find(archive.members(), name, &InputArchive::Member::name);
  if (found == archive.members().end()) archive.fail(fmt::format("there is no array {} in it", quote(name)));
  return *found;
}

// ---- writing ----

/// A ZIP archive in memory, taken from there into a file.
class OutputArchive {
 public:
  explicit OutputArchive(OutputFile& out) : out_(out) {
    zip_error_t error;
    zip_error_init(&error);
    whole_.reset(zip_source_buffer_create(nullptr, 0, 0, &error));
    if (whole_) archive_.reset(zip_open_from_source(whole_.get(), ZIP_TRUNCATE, &error));
    // The archive owns the source now, and gives it up when it is closed; kept for what comes after that.
    if (archive_) zip_source_keep(whole_.get());
    const std::string message = archive_ ? "" : zip_error_strerror(&error);
    zip_error_fini(&error);
    if (!archive_) out_.fail(message);
  }

  /// The bytes must stay where they are until commit().
  void add(const std::string& name, std::string_view header, std::span<const unsigned char> elements, bool compressed) {
    // libzip only reads from fragments.
    const std::array fragments{
        zip_buffer_fragment_t{reinterpret_cast<zip_uint8_t*>(const_cast<char*>(header.data())), header.size()},
        zip_buffer_fragment_t{const_cast<zip_uint8_t*>(elements.data()), elements.size()}};
    Source source(zip_source_buffer_fragment(archive_.get(), fragments.data(), elements.empty() ? 1 : 2, 0));
    if (!source) fail();
    const zip_int64_t index =
        zip_file_add(archive_.get(), (name + std::string(ending)).c_str(), source.get(), ZIP_FL_ENC_UTF_8);
    if (index < 0) out_.fail(fmt::format("array {}: {}", quote(name), zip_strerror(archive_.get())));
    source.release();  // the archive's
    const auto at = static_cast<zip_uint64_t>(index);
    if (zip_set_file_compression(archive_.get(), at, compressed ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0) != 0 ||
        zip_file_set_dostime(archive_.get(), at, 0, first_day, 0) != 0)
      fail();
  }

  void commit() {
    if (zip_get_num_entries(archive_.get(), 0) == 0) {
      // libzip would rather have no archive than an empty one.
      out_.write(std::span<const char>(empty_archive));
      return out_.commit();
    }
    if (zip_close(archive_.get()) != 0) fail();
    archive_.release();
    if (zip_source_open(whole_.get()) != 0) fail_source();
    std::array<char, 1 << 16> chunk;
    for (zip_int64_t got; (got = zip_source_read(whole_.get(), chunk.data(), chunk.size())) != 0;) {
      if (got < 0) fail_source();
      out_.write(std::span<const char>(chunk.data(), static_cast<std::size_t>(got)));
    }
    zip_source_close(whole_.get());
    out_.commit();
  }

 private:
  [[noreturn]] void fail() const { out_.fail(zip_strerror(archive_.get())); }
  [[noreturn]] void fail_source() const { out_.fail(zip_error_strerror(zip_source_error(whole_.get()))); }

  OutputFile& out_;
  Source whole_;
  Archive archive_;
};

}  // namespace

template <class T> std::map<std::string, Tensor<T>> read_npz(const std::string& path, const NumpyReadOptions& options) {
  return detail::naming("read_npz", path, [&] {
    const InputArchive archive("read_npz", path);
    std::map<std::string, Tensor<T>> arrays;
    for (const auto& member : archive.members()) {
      arrays.emplace(member.name,
                     read_member(archive, member, [&](auto& source) { return read_array<T>(source, options); }));
    }
    return arrays;
  });
}
template <class T>
Tensor<T> read_npz(const std::string& path, const std::string& name, const NumpyReadOptions& options) {
  return detail::naming("read_npz", path, [&] {
    const InputArchive archive("read_npz", path);
    return read_member(archive, find_member(archive, name),
                       [&](auto& source) { return read_array<T>(source, options); });
  });
}
Integers read_npz_integers(const std::string& path, const std::string& name) {
  return detail::naming("read_npz_integers", path, [&] {
    const InputArchive archive("read_npz_integers", path);
    return read_member(archive, find_member(archive, name), [](auto& source) { return read_integer_array(source); });
  });
}

template <class T>
void write_npz(const std::string& path, const std::map<std::string, Tensor<T>>& arrays,
               const NpzWriteOptions& options) {
  OutputFile out("write_npz", path);
  std::deque<std::string> headers;  // which never move
  std::deque<std::vector<unsigned char>> copies;
  OutputArchive archive(out);
  for (const auto& [name, tensor] : arrays) {
    if (!tensor.defined()) out.fail(fmt::format("array {} is undefined", quote(name)));
    if (name.find('\0') != std::string::npos) out.fail(fmt::format("the name {} holds a zero byte", quote(name)));
    if (name.size() > longest_name - ending.size())
      out.fail(fmt::format("the name {} has {} bytes, the format allows {}", quote(name), name.size(),
                           longest_name - ending.size()));
    archive.add(name, headers.emplace_back(npy_header<T>(tensor.shape())),
                little_endian_bytes(tensor.span(), copies.emplace_back()), options.compressed);
  }
  archive.commit();
}

#define XTAPE_NPZ(T)                                                                               \
  template std::map<std::string, Tensor<T>> read_npz(const std::string&, const NumpyReadOptions&); \
  template Tensor<T> read_npz(const std::string&, const std::string&, const NumpyReadOptions&);    \
  template void write_npz(const std::string&, const std::map<std::string, Tensor<T>>&, const NpzWriteOptions&);
XTAPE_NPZ(float)
XTAPE_NPZ(double)

}  // namespace xtape::data
