#pragma once
/// \file profile.hpp  What the ops of a tape cost: as a table, and as a trace for a browser.

#include <xtape/format.hpp>
#include <xtape/shape.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace xtape {

/// Times and bytes of every op recorded on a tape made with {.profile = true}, and of every pullback swept.
///
///     Profile total;
///     for (...) {
///       Tape tape{{.profile = true}};
///       tape.backward(loss(...));
///       total += tape.profile();
///     }
///     fmt::print("{}", total);
///     total.write_trace("trace.json");
///
/// Times are the steady clock's, and beside them the processor time of the process. An op's forward time runs from the
/// end of the tape's previous event (an op, a sweep, or the tape's making) to the moment the op is recorded, so it
/// holds all that happened between: the op itself, and before it ops that are not recorded and whatever else the
/// program did. Make the tape after the batch is read. Of a function that is made of several ops each is an event. A
/// backward time is the pullback's and that of adding up the gradients it returned.
struct Profile {
  struct Event {
    std::string op;
    bool backward = false;
    std::size_t thread = 0;         ///< threads are numbered from 0 as they first profile
    std::int64_t start = 0;         ///< in nanoseconds, of the steady clock
    std::int64_t duration = 0;      ///< in nanoseconds
    std::int64_t own_duration = 0;  ///< without the events inside: ops recorded by a pullback (create_graph)
    Shape shape;                    ///< the output's
    std::size_t bytes = 0;          ///< of the output; backward, of the gradients returned
    std::int64_t processor = 0;     ///< in nanoseconds, of all threads of the process, as own_duration
  };
  /// Sums over all events of one op.
  struct Row {
    std::string op;
    std::size_t calls = 0, backward_calls = 0;
    double forward = 0, backward = 0;  ///< seconds, of own_duration
    std::size_t output_bytes = 0, gradient_bytes = 0;
    double processor = 0;  ///< seconds of processor time, of all threads: more than total() where several work, less
                           ///< where the op waits for a processor, a file or another process
    double total() const noexcept { return forward + backward; }
  };

  std::vector<Event> events;

  /// By op, the most expensive first.
  std::vector<Row> rows() const;
  Profile& operator+=(const Profile& other);
  /// Writes the events in the Trace Event Format, to be opened with chrome://tracing or ui.perfetto.dev.
  /// Throws DataError naming the file if it cannot be written.
  void write_trace(const std::string& path) const;
};

/// rows() as a table, with shares of the time.
std::string to_string(const Profile& profile);
template <> inline constexpr bool detail::has_text<Profile> = true;

}  // namespace xtape

/// \cond
template <> struct fmt::formatter<xtape::Profile> : xtape::detail::TextFormatter<xtape::Profile> {};
/// \endcond
