// The profile of a tape: its events, their table and their trace.
#include <xtape/profile.hpp>

#include "../core/text.hpp"
#include "../io/output_file.hpp"
#include "watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <map>
#include <new>

namespace xtape {
namespace detail {
namespace {

Moment now() noexcept {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return {
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(),
      std::int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec};
}
Moment operator-(const Moment& a, const Moment& b) noexcept { return {a.wall - b.wall, a.processor - b.processor}; }
Moment operator+(const Moment& a, const Moment& b) noexcept { return {a.wall + b.wall, a.processor + b.processor}; }

std::size_t thread_number() noexcept {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

}  // namespace

Profiler::Profiler() : last_(now()) {}
void Profiler::swept() noexcept { last_ = now(); }

void Profiler::recorded(const char* name, const TensorImpl& value) {
  const Moment time = now() - last_;
  profile_.events.push_back({name, false, thread_number(), last_.wall, time.wall, time.wall, value.shape,
                             value.size * value.element_bytes(), time.processor});
  inside_ = inside_ + time;
  last_ = now();
}

ProfiledPullback::ProfiledPullback(Profiler& profiler, const Node& node)
    : profiler_(profiler), event_{node.name, true, thread_number(), 0, 0, 0, node.shape(), 0} {
  inside_before_ = std::exchange(profiler_.inside_, {});
  profiler_.last_ = start_ = now();
  event_.start = start_.wall;
}

void ProfiledPullback::count_bytes(Gradients& gradients) noexcept {
  returned_ = true;
  for (std::size_t i = 0; i < gradients.size(); ++i)
    if (gradients[i]) event_.bytes += gradients[i]->size * gradients[i]->element_bytes();
}

ProfiledPullback::~ProfiledPullback() {
  const Moment time = now() - start_, own = time - profiler_.inside_;
  event_.duration = time.wall;
  event_.own_duration = own.wall;
  event_.processor = own.processor;
  profiler_.inside_ = inside_before_ + time;
  try {
    if (returned_) profiler_.profile_.events.push_back(std::move(event_));
  } catch (const std::bad_alloc&) {  // without memory the event is lost, not the program
  }
  profiler_.last_ = now();
}

}  // namespace detail

std::vector<Profile::Row> Profile::rows() const {
  std::map<std::string, Row> by_op;
  for (const Event& event : events) {
    Row& row = by_op[event.op];
    ++(event.backward ? row.backward_calls : row.calls);
    (event.backward ? row.backward : row.forward) += 1e-9 * static_cast<double>(event.own_duration);
    row.processor += 1e-9 * static_cast<double>(event.processor);
    (event.backward ? row.gradient_bytes : row.output_bytes) += event.bytes;
  }
  std::vector<Row> rows;
  for (auto& [op, row] : by_op) {
    row.op = op;
    rows.push_back(std::move(row));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.total() > b.total(); });
  return rows;
}

Profile& Profile::operator+=(const Profile& other) {
  const std::size_t count = other.events.size();  // which may be this one
  events.reserve(events.size() + count);
  for (std::size_t i = 0; i < count; ++i) events.push_back(other.events[i]);
  return *this;
}

std::string to_string(const Profile& profile) {
  const auto rows = profile.rows();
  Profile::Row sum{.op = "total"};
  std::size_t width = 5;
  for (const auto& row : rows) {
    width = std::max(width, row.op.size());
    sum.calls += row.calls;
    sum.backward_calls += row.backward_calls;
    sum.forward += row.forward;
    sum.backward += row.backward;
    sum.processor += row.processor;
    sum.output_bytes += row.output_bytes;
    sum.gradient_bytes += row.gradient_bytes;
  }
  std::string text =
      fmt::format("{:{}} {:>8} {:>12} {:>8} {:>12} {:>12} {:>12} {:>7} {:>9} {:>9}\n", "op", width, "forward", "time",
                  "backward", "time", "total", "processor", "share", "outputs", "gradients");
  const auto add = [&](const Profile::Row& row) {
    const double share = sum.total() > 0 ? 100 * row.total() / sum.total() : 0;
    text += fmt::format("{:{}} {:8} {:>9.3f} ms {:8} {:>9.3f} ms {:>9.3f} ms {:>9.3f} ms {:5.1f} % {:>9} {:>9}\n",
                        row.op, width, row.calls, 1e3 * row.forward, row.backward_calls, 1e3 * row.backward,
                        1e3 * row.total(), 1e3 * row.processor, share, detail::bytes_text(row.output_bytes),
                        detail::bytes_text(row.gradient_bytes));
  };
  for (const auto& row : rows) add(row);
  add(sum);
  return text;
}

void Profile::write_trace(const std::string& path) const {
  std::vector<const Event*> sorted;
  for (const Event& event : events) sorted.push_back(&event);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Event* a, const Event* b) {
    return a->start != b->start ? a->start < b->start : a->duration > b->duration;
  });
  const std::int64_t begin = sorted.empty() ? 0 : sorted.front()->start;
  // In microseconds, to the nanosecond.
  const auto micros = [](std::int64_t nanos) { return fmt::format("{}.{:03}", nanos / 1000, nanos % 1000); };
  std::string text = "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [";
  for (const Event* event : sorted)
    text += fmt::format(
        "{}\n{{\"name\": \"{}\", \"cat\": \"{}\", \"ph\": \"X\", \"pid\": 1, \"tid\": {}, \"ts\": {}, \"dur\": {}, "
        "\"args\": {{\"shape\": \"{}\", \"{}\": {}}}}}",
        event == sorted.front() ? "" : ",", detail::escaped(event->op), event->backward ? "backward" : "forward",
        event->thread, micros(event->start - begin), micros(event->duration), to_string(event->shape),
        event->backward ? "gradient_bytes" : "output_bytes", event->bytes);
  text += "\n]}\n";
  detail::OutputFile file("write_trace", path);
  file.write(std::span<const char>(text));
  file.commit();
}

}  // namespace xtape
