// What a training run needs to go on: kept, written, read, and refused where it is damaged or another run's.

#include <doctest/doctest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <xtape/data/digits.hpp>
#include <xtape/data/safetensors.hpp>
#include <xtape/data/training_state.hpp>
#include <xtape/init.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/tape.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <limits>
#include <vector>

#include "files.hpp"
#include "full_disk.hpp"
#include "message.hpp"

using namespace xtape;
using namespace xtape::data;
namespace fs = std::filesystem;

namespace {

template <class T> bool same(const Tensor<T>& a, const Tensor<T>& b) {  // to the bit
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.shape() == b.shape() && (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// A run with one of everything that can be kept.
template <class T> struct Everything {
  Rng rng;
  Dataset set = digits(10, 1);
  std::vector<Tensor<T>> a, b, c;
  optim::Sgd<T> sgd;
  optim::Sgd<T> nesterov;
  optim::Adam<T> adam;
  Rbm<T> rbm;
  GibbsChain<T> chain, tempered;
  BatchStream batches;
  Tensor<T> handle, undefined;
  std::size_t count = 0;
  double loss = 0;
  bool odd = false;
  std::vector<double> curve;
  std::string text = "start";

  explicit Everything(std::uint64_t seed)
      : rng(seed),
        a{parameter(init::normal<T>({3, 5}, T(0), T(1), rng)), parameter(init::normal<T>({}, T(0), T(1), rng))},
        b{parameter(init::normal<T>({7}, T(0), T(1), rng))},
        c{parameter(init::normal<T>({4}, T(0), T(1), rng)), parameter(zeros<T>({0, 2}))},
        sgd(a, {.learning_rate = 0.1, .momentum = 0.9}),
        nesterov(b, {.learning_rate = 0.03, .momentum = 0.5, .nesterov = true, .weight_decay = 0.01}),
        adam(c, {.learning_rate = 0.2}),
        rbm(4, 3, rng),
        chain(rbm, 2, rng),
        tempered(rbm, 3, rng, {.inverse_temperatures = {1, 0.7, 0.2}}),
        batches(set, 4, rng) {}

  void step() {
    ++count;
    const auto label = batches.next().label;
    loss += static_cast<double>(label[0]) * 1.7 + rng.normal();
    odd = !odd;
    curve.push_back(loss / 3);
    text += fmt::format("\n{} \xe2\x82\xac", label[0]);
    handle = init::uniform<T>({count % 3, 2}, T(0), T(1), rng);
    sgd.options.learning_rate *= 0.9;  // what a schedule without formula does
    chain.step(2);
    tempered.step();
    Tape tape;
    auto total = sum(square(a[0])) * static_cast<T>(rng.uniform()) + sum(exp(b[0])) + sum(square(c[0]) * c[0]);
    if (count > 4) total = total + a[1] * a[1];  // a parameter without velocity until then
    tape.backward(total);
    sgd.step();
    nesterov.step();
    adam.step();
  }

  void keep_in(TrainingState& state) {
    state.setting("layers", "3");
    state.parameters("a", a);
    state.parameters("b", b);
    state.parameters("c", c);
    state.parameters("rbm", rbm.parameters());
    state.keep("rng", rng);
    state.keep("sgd", sgd);
    state.keep("nesterov", nesterov);
    state.keep("adam", adam);
    state.keep("chain", chain);
    state.keep("tempered", tempered);
    state.keep("batches", batches);
    state.keep("handle", handle);
    state.keep("undefined", undefined);
    state.keep("count", count);
    state.keep("loss", loss);
    state.keep("odd", odd);
    state.keep("curve", curve);
    state.keep("text", text);
  }
};

// A small state of settings, a tensor and a number; returns the file's content.
std::string write_small(const std::string& path, const Shape& shape = {2}, const std::string& hidden = "100",
                        std::size_t number = 7) {
  TrainingState state;
  state.setting("--hidden", hidden);
  state.parameters("net", std::vector{parameter(ones<float>(shape))});
  state.keep("number", number);
  state.write(path);
  return content_of(path);
}

// Reads it, as a run with these settings does; returns the number.
std::size_t read_small(const std::string& path, const Shape& shape = {2}, const std::string& hidden = "100") {
  TrainingState state;
  state.read(path);
  std::size_t number = 0;
  state.setting("--hidden", hidden);
  state.parameters("net", std::vector{parameter(zeros<float>(shape))});
  state.keep("number", number);
  return number;
}

}  // namespace

TEST_CASE_TEMPLATE("training state: a run that goes on ends with the bits of one that was not interrupted", T, float,
                   double) {
  const Folder folder;
  constexpr std::size_t steps = 11;  // batches of 4 among 10: passes of three
  Everything<T> whole(1);
  TrainingState whole_state;
  whole.keep_in(whole_state);
  for (std::size_t i = 0; i < steps; ++i) whole.step();
  whole_state.write(folder / "whole");
  for (std::size_t stop = 0; stop < steps; ++stop) {
    CAPTURE(stop);
    {
      Everything<T> first(1);
      TrainingState state;
      first.keep_in(state);
      for (std::size_t i = 0; i < stop; ++i) first.step();
      state.write(folder / "part");
      for (std::size_t i = stop; i < steps; ++i) first.step();  // what was written stays as it was
    }
    Everything<T> second(99);
    TrainingState state;
    state.read(folder / "part");
    second.keep_in(state);
    CHECK(second.count == stop);
    CHECK(second.rng.state() != Everything<T>(99).rng.state());
    state.write(folder / "again");
    CHECK(content_of(folder / "again") == content_of(folder / "part"));
    for (std::size_t i = stop; i < steps; ++i) second.step();
    state.write(folder / "resumed");
    // All that is kept, to the bit: parameters, moments, chains, generators, curves.
    CHECK(content_of(folder / "resumed") == content_of(folder / "whole"));
    CHECK(second.a[0].requires_grad());
    CHECK(same(second.a[0], whole.a[0]));
    CHECK(same(second.chain.visible(), whole.chain.visible()));
    CHECK(second.tempered.swap_rate() == whole.tempered.swap_rate());
  }
  CHECK(folder.files() == 4);
  // Python's reader, and ours, take it for what it is.
  CHECK(read_safetensors<double>(folder / "whole").metadata.at("format") == "xtape training state");
}

TEST_CASE("training state: special values") {
  const Folder folder;
  using Limits = std::numeric_limits<double>;
  std::vector<double> numbers{
      0.0, -0.0, 0.1, Limits::max(), Limits::denorm_min(), Limits::infinity(), -Limits::infinity()},
      back;
  Tensor<double> nan({2}, {Limits::quiet_NaN(), -Limits::quiet_NaN()}), nan_back;
  std::size_t most = std::numeric_limits<std::size_t>::max(), most_back = 0;
  for (const double number : numbers) {
    double value = number, value_back = 3;
    std::string text = "", text_back = "something";
    std::vector<double> none, none_back{1};
    {
      TrainingState state;
      state.keep("numbers", numbers);
      state.keep("nan", nan);
      state.keep("most", most);
      state.keep("value", value);
      state.keep("text", text);
      state.keep("none", none);
      state.write(folder / "f");
    }
    TrainingState state;
    state.read(folder / "f");
    state.keep("numbers", back);
    state.keep("nan", nan_back);
    state.keep("most", most_back);
    state.keep("value", value_back);
    state.keep("text", text_back);
    state.keep("none", none_back);
    CHECK(std::memcmp(back.data(), numbers.data(), numbers.size() * sizeof(double)) == 0);
    CHECK(same(nan, nan_back));
    CHECK(most_back == most);
    CHECK(std::memcmp(&value, &value_back, sizeof value) == 0);
    CHECK(text_back.empty());
    CHECK(none_back.empty());
  }
}

TEST_CASE("training state: scopes have names of their own, begin anew, and are forgotten") {
  const Folder folder;
  std::size_t outer = 1, inner = 2;
  {
    TrainingState state;
    state.keep("n", outer);
    {
      const auto scope = state.scope("part");
      state.keep("n", inner);
      const auto deeper = state.scope("part");
      state.keep("n", inner);
      state.write(folder / "in");
    }
    state.write(folder / "out");
    const auto scope = state.scope("part");
    state.keep("n", inner);
  }
  const auto read = [&](const std::string& path, bool enter) {
    std::size_t a = 0, b = 0, c = 0, again = 9;
    TrainingState state;
    state.read(path);
    state.keep("n", a);
    if (enter) {
      {
        const auto scope = state.scope("part");
        state.keep("n", b);
        const auto deeper = state.scope("part");
        state.keep("n", c);
      }
      const auto scope = state.scope("part");
      state.keep("n", again);
    }
    state.write(folder / "written");
    return std::vector{a, b, c, again};
  };
  CHECK(read(folder / "in", true) == std::vector<std::size_t>{1, 2, 2, 9});
  CHECK(read(folder / "out", true) == std::vector<std::size_t>{1, 0, 0, 9});
  CHECK(read(folder / "out", false) == std::vector<std::size_t>{1, 0, 0, 9});
  check_bad([&] { read(folder / "in", false); }, {"training_state: " + (folder / "in"), "holds 'part/n'"});
}

TEST_CASE("training state: another run's is refused, with both shapes or both values") {
  const Folder folder;
  const std::string path = folder / "f", begin = "training_state: " + path + ": ";
  write_small(path);
  CHECK(read_small(path) == 7);
  check_bad([&] { read_small(path, {3, 4}); }, {begin, "tensor 'net.0' has shape (2,), this run's has (3, 4)"});
  check_bad([&] { read_small(path, {2}, "20"); }, {begin, "setting --hidden is 100, this run's is 20"});

  const auto bad = [&](const std::function<void(TrainingState&)>& keep, const std::string& part) {
    check_bad(
        [&] {
          TrainingState state;
          state.read(path);
          keep(state);
          state.write(folder / "other");
        },
        {begin, part});
    CHECK(!fs::exists(folder / "other"));
  };
  std::size_t number = 0;
  std::string text;
  Rng rng;
  Tensor<float> tensor;
  std::vector<double> list;
  const Dataset set = digits(10, 1);
  BatchStream stream(set, 4, rng);
  const auto net = std::vector{parameter(zeros<float>({2}))};
  optim::Sgd<float> sgd(net, {.momentum = 0.5});
  bad([&](TrainingState& s) { s.setting("--k", "1"); }, "setting --k is not in it, this run's is 1");
  bad([&](TrainingState& s) { s.keep("nothing", number); }, "there is no 'nothing' in it");
  bad([&](TrainingState& s) { s.parameters("net", std::vector{parameter(zeros<double>({2}))}); }, "another type");
  bad([&](TrainingState& s) { s.parameters("net", std::vector{net[0], net[0]}); }, "has 1 tensors, this run's has 2");
  bad([&](TrainingState& s) { s.keep("number", rng); }, "'number' is '7', expected 3 numbers");
  bad([&](TrainingState& s) { s.keep("number", sgd); }, "'number' is '7', expected 4 numbers");
  bad([&](TrainingState& s) { s.keep("number", tensor); }, "there is no 'number'");
  bad([&](TrainingState& s) { s.keep("net", list); }, "there is no 'net'");
  bad([&](TrainingState& s) { s.setting("--hidden", "100"); }, "it holds 'net.0', which this run does not keep");
  bad(
      [&](TrainingState& s) {
        s.parameters("net", net);
        s.keep("number", number);
      },
      "it holds 'setting --hidden'");

  // States that do not fit what they are for.
  const auto pair = [&](auto& kept, auto& other, const std::string& part) {
    {
      TrainingState state;
      state.keep("x", kept);
      state.write(path);
    }
    bad([&](TrainingState& s) { s.keep("x", other); }, part);
  };
  auto big = std::vector{parameter(zeros<float>({3}))};
  optim::Sgd<float> other(big, {.momentum = 0.5});
  big[0].set_grad(ones<float>({3}));
  other.step();
  pair(other, sgd, "'x': sgd: the state of parameter 0 is (3,), expected (2,)");
  optim::Adam<float> adam(net), large_adam(big);
  big[0].set_grad(ones<float>({3}));
  large_adam.step();
  pair(large_adam, adam, "'x': adam: the state of parameter 0 is (3,), expected (2,)");
  for (int i = 0; i < 2; ++i) stream.next();
  BatchStream short_stream(set, 5, rng);
  pair(stream, short_stream, "'x': batch stream: batch 2 of a pass, which has 2 of them");
  const Rbm<float> rbm(4, 3, rng);
  GibbsChain<float> two(rbm, 2, rng), three(rbm, 3, rng);
  pair(two, three, "'x': gibbs chain: a state of (2, 4), expected (3, 4)");
  double value = 0.5;
  {
    TrainingState state;
    state.keep("number", value);
    state.write(path);
  }
  bad([&](TrainingState& s) { s.keep("number", number); }, "'number' is '0.5', expected a number");
}

TEST_CASE("training state: misuse is a ValueError") {
  const Folder folder;
  write_small(folder / "f");
  std::size_t n = 0;
  TrainingState state;
  state.keep("n", n);
  CHECK(message<ValueError>([&] { state.keep("n", n); }) == "training_state: 'n' is kept twice");
  for (const char* name : {"", "a/b", "a.b", "checksum"})
    CHECK_MESSAGE(message<ValueError>([&] { state.keep(name, n); }).find("is no name") != std::string::npos, name);
  CHECK_THROWS_AS((void)state.scope(""), ValueError);
  CHECK_THROWS_AS((void)state.scope("a/b"), ValueError);
  state.setting("s", "1");
  CHECK(message<ValueError>([&] { state.setting("s", "1"); }) == "training_state: setting s is given twice");
  CHECK_THROWS_AS(state.read(folder / "f"), ValueError);
  TrainingState again;
  again.read(folder / "f");
  CHECK_THROWS_AS(again.read(folder / "f"), ValueError);
  std::string bytes = "\xff";
  TrainingState binary;
  binary.keep("text", bytes);
  check_bad([&] { binary.write(folder / "g"); }, {"training_state: " + (folder / "g"), "not UTF-8"});
  CHECK(folder.files() == 1);
}

TEST_CASE("training state: truncated anywhere, any bit flipped, anything else in its place: one clear line") {
  const Folder folder;
  const std::string path = folder / "f", begin = "training_state: " + path + ": ";
  const std::string whole = write_small(path);
  std::size_t refused = 0;
  const auto refuses = [&](const std::string& content, const std::string& part = "") {
    fs::remove(path);  // some file systems flush what replaces a file
    write_file(path, content);
    const std::string text = message<DataError>([&] { read_small(path); });
    const bool good = text.starts_with(begin) && text.find('\n') == std::string::npos && text.find(part) != text.npos;
    if (!good) FAIL_CHECK(text);
    refused += good;
    return good;
  };
  for (std::size_t length = 0; length < whole.size(); ++length) refuses(whole.substr(0, length));
  CHECK(refused == whole.size());
  refused = 0;
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    refuses(flipped);
  }
  CHECK(refused == 8 * whole.size());

  refuses("", "empty file");
  refuses(whole + '\0', "trailing bytes");
  refuses(whole.substr(0, whole.size() / 2) + std::string(whole.size() - whole.size() / 2, '\0'));
  std::string newer = whole;
  newer[whole.find("\"version\":\"1\"") + 11] = '2';
  refuses(newer, "has version '2' of the format; this program knows 1");
  write_safetensors<float>(path, {{{"a", ones<float>({2})}}, {}});
  check_bad([&] { read_small(path); }, {begin, "is no xtape training state"});
  check_bad([&] { read_small(folder / "none"); }, {"training_state: " + (folder / "none"), "No such file"});
  check_bad([&] { read_small(folder.string()); }, {"is a folder"});
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  check_bad([&] { read_small(folder / "pipe"); }, {"is not a regular file"});
  write_file(path, whole);
  CHECK(read_small(path) == 7);
}

TEST_CASE("training state: what cannot be written leaves the last one as it was") {
  const Folder folder;
  const std::string path = folder / "f";
  const std::string whole = write_small(path);
  const auto fails = [&](const std::string& to, const std::string& part) {
    check_bad([&] { write_small(to, {40, 50}); }, {"training_state: " + to + ": cannot be written: ", part});
  };
  for (const rlim_t bytes : {0U, 1U, 100U, 5000U}) {
    const FullDisk full(bytes);
    fails(path, "File too large");
  }
  CHECK(content_of(path) == whole);
  CHECK(folder.files() == 1);
  fails(folder / "none/f", "No such file or directory");
  fails(path + "/f", "Not a directory");
  fails(folder.string(), "is a directory");
  fails("/dev/full", "is not a regular file");
  fails("", "the path is empty");

  // A file that a killed program has left is used up; a living one's, or somebody's folder or link, is respected.
  write_file(path + ".partial", std::string(100000, 'x'));
  write_small(path, {2}, "100", 8);
  CHECK(read_small(path) == 8);
  CHECK(folder.files() == 1);
  write_file(path + ".partial", "theirs");
  const int other = open((path + ".partial").c_str(), O_RDWR);
  REQUIRE(flock(other, LOCK_EX) == 0);
  fails(path, "another program is writing it");
  CHECK(content_of(path + ".partial") == "theirs");
  close(other);
  fs::remove(path + ".partial");
  fs::create_symlink(folder / "elsewhere", path + ".partial");
  fails(path, path + ".partial");
  CHECK(!fs::exists(folder / "elsewhere"));
  fs::remove(path + ".partial");
  fs::create_directory(path + ".partial");
  fails(path, path + ".partial");
  fs::remove(path + ".partial");
  CHECK(read_small(path) == 8);

  // A link's target is meant.
  fs::create_symlink(path, folder / "link");
  write_small(folder / "link", {2}, "100", 9);
  CHECK(fs::is_symlink(fs::symlink_status(folder / "link")));
  CHECK(read_small(path) == 9);
}
