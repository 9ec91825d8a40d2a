// The profile of a tape.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/profile.hpp>
#include <xtape/tape.hpp>

#include "files.hpp"

#include <chrono>
#include <thread>

using namespace xtape;
using D = Tensor<double>;

namespace {

const Profile::Row& row_of(const std::vector<Profile::Row>& rows, const std::string& op) {
  for (const auto& row : rows)
    if (row.op == op) return row;
  FAIL("no row of " << op);
  return rows.front();
}

// The sum of two tanh, one sleeping op between them.
Profile profile_of_step(const BackwardOptions& options = {}) {
  const D x = parameter(ones<double>({100}));
  Tape tape{{.profile = true}};
  const auto slow = [](const D& v) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return record("slow", D(v.array()), {v}, [](const D& dy) {
      std::this_thread::sleep_for(std::chrono::milliseconds(4));
      return Gradients{2.0 * dy};
    });
  };
  tape.backward(sum(tanh(slow(tanh(x)))), options);
  return tape.profile();
}

}  // namespace

TEST_CASE("profile: calls, times and bytes of each op, the most expensive first") {
  Profile profile = profile_of_step();
  CHECK(profile.events.size() == 8);
  auto rows = profile.rows();
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].op == "slow");
  CHECK(rows[0].forward >= 0.002);
  CHECK(rows[0].backward >= 0.004);
  CHECK(rows[0].total() == rows[0].forward + rows[0].backward);
  CHECK(rows[1].total() >= rows[2].total());
  CHECK(row_of(rows, "tanh").calls == 2);
  CHECK(row_of(rows, "tanh").backward_calls == 2);
  CHECK(row_of(rows, "tanh").output_bytes == 1600);
  CHECK(row_of(rows, "tanh").gradient_bytes == 1600);
  CHECK(row_of(rows, "tanh").backward < 0.004);
  CHECK(row_of(rows, "sum").output_bytes == 8);
  CHECK(row_of(rows, "sum").calls == 1);

  profile += profile;
  profile += profile_of_step();
  CHECK(profile.events.size() == 24);
  CHECK(row_of(profile.rows(), "tanh").calls == 6);
}

TEST_CASE("profile: with create_graph an op within a pullback counts once") {
  const Profile profile = profile_of_step({.create_graph = true});
  const auto rows = profile.rows();
  CHECK(row_of(rows, "multiply").calls >= 1);  // 2.0 * dy, recorded inside slow's pullback
  double own = 0;
  std::int64_t begin = profile.events.front().start, end = 0;
  for (const auto& event : profile.events) {
    CHECK(event.own_duration <= event.duration);
    own += 1e-9 * static_cast<double>(event.own_duration);
    end = std::max(end, event.start + event.duration);
  }
  CHECK(own <= 1e-9 * static_cast<double>(end - begin));
  CHECK(own >= 0.006);
  CHECK(row_of(rows, "multiply").forward >= 0.004);  // what went before it in the pullback
}

TEST_CASE("profile: goes on over clear(), and a pullback that throws leaves it whole") {
  const D x = parameter(D(2.0));
  Tape tape{{.profile = true}};
  CHECK(tape.profile().events.empty());
  tape.backward(square(x));
  tape.clear();
  CHECK(tape.profile().events.size() == 2);
  const D bad = record("bad", D(1.0), {x}, [](const D&) -> Gradients { throw std::runtime_error("planted"); });
  CHECK_THROWS_WITH(tape.backward(bad), "planted");
  tape.backward(square(x));
  const auto rows = tape.profile().rows();
  CHECK(row_of(rows, "bad").calls == 1);
  CHECK(row_of(rows, "bad").backward_calls == 0);
  CHECK(row_of(rows, "square").backward_calls == 2);
  const Tape plain;
  check_bad<TapeError>([&] { plain.profile(); }, {"profile: ", ".profile = true"});
}

TEST_CASE("profile: the table") {
  Profile profile;
  profile.events = {
      {"matmul", false, 0, 0, 1'500'000, 1'500'000, Shape{10}, 999'949, 2'000'000},
      {"matmul", true, 0, 2'000'000, 3'000'000, 1'500'000, Shape{10}, 999'950},
      {"a_long_name", false, 0, 2'000'000, 1'000'000, 1'000'000, Shape{}, 80},
  };
  CHECK(
      fmt::format("{}", profile) ==
      "op           forward         time backward         time        total    processor   share   outputs gradients\n"
      "matmul             1     1.500 ms        1     1.500 ms     3.000 ms     2.000 ms  75.0 %  999.9 kB    1.0 MB\n"
      "a_long_name        1     1.000 ms        0     0.000 ms     1.000 ms     0.000 ms  25.0 %      80 B       0 B\n"
      "total              2     2.500 ms        1     1.500 ms     4.000 ms     2.000 ms 100.0 %    1.0 MB    1.0 "
      "MB\n");
  CHECK(to_string(Profile{}).find("total") != std::string::npos);
}

TEST_CASE("profile: the trace is JSON, its events lie beside or within one another") {
  const Folder folder;
  const std::string path = folder / "trace.json";
  Profile profile;
  std::thread([&] { profile += profile_of_step(); }).join();
  profile += profile_of_step({.create_graph = true});
  profile.events.push_back(
      {"quote \" and \\ and\nline", false, 0, profile.events.back().start + 1'000'000'000, 5, 5, {}, 0});
  profile.write_trace(path);
  const auto trace = nlohmann::json::parse(content_of(path));
  const auto& events = trace.at("traceEvents");
  REQUIRE(events.size() == profile.events.size());
  // Whole nanoseconds again.
  const auto nanos = [](const nlohmann::json& micros) { return std::llround(micros.get<double>() * 1000); };
  std::map<long, std::vector<long long>> open;  // of each thread: where the events end that hold the next
  std::size_t backward = 0;
  long long last = 0;
  for (const auto& event : events) {
    CHECK(event.at("ph") == "X");
    CHECK(event.at("pid") == 1);
    const long long begin = nanos(event.at("ts")), end = begin + nanos(event.at("dur"));
    CHECK(begin >= last);
    last = begin;
    auto& stack = open[event.at("tid").get<long>()];
    while (!stack.empty() && stack.back() <= begin) stack.pop_back();
    if (!stack.empty()) CHECK(end <= stack.back());
    stack.push_back(end);
    if (event.at("cat") == "backward") {
      ++backward;
      CHECK(event.at("args").contains("gradient_bytes"));
    } else {
      CHECK(event.at("args").contains("output_bytes"));
    }
  }
  CHECK(open.size() == 2);
  CHECK(backward == 8);
  CHECK(events.back().at("name") == "quote \" and \\ and line");
  CHECK(events.front().at("args").at("shape") == "(100,)");

  Profile{}.write_trace(path);
  CHECK(nlohmann::json::parse(content_of(path)).at("traceEvents").empty());
  const std::string nowhere = folder / "missing" + "/trace.json";
  check_bad([&] { profile.write_trace(nowhere); }, {"write_trace: ", nowhere});
  check_bad([&] { profile.write_trace(folder.string()); }, {"write_trace: ", "directory"});
}
