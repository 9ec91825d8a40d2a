#include "server.hpp"

#include <xtape/error.hpp>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <vector>

namespace examples {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int waiting_connections = 128;
constexpr std::size_t most_connections = 8, longest_request = 8192, most_ignored = 65536;
constexpr auto time_of_a_connection = std::chrono::seconds(30);
constexpr auto between_connections = std::chrono::milliseconds(4);

[[noreturn]] void fail(const std::string& reason) { throw xtape::DataError("--serve: " + reason); }

// 127.0.0.1:8080 without the port, in small letters.
std::string host_name(std::string_view host) {
  const auto colon = host.rfind(':');
  if (colon != std::string_view::npos && host.find_first_not_of("0123456789", colon + 1) == std::string_view::npos)
    host = host.substr(0, colon);
  std::string name(host);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t\r");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

// Cuts the text up to the end of a line off.
std::string_view next_line(std::string_view& text) {
  const auto end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Is the empty line there that ends the headers?
bool whole(std::string_view request) {
  return request.find("\r\n\r\n") != std::string_view::npos || request.find("\n\n") != std::string_view::npos;
}

const char* meaning(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 421: return "Misdirected Request";
    default: return "Request Header Fields Too Large";  // 431
  }
}

std::string head_of(int status, std::size_t length) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n{}Connection: close\r\n\r\n",
      status, meaning(status), length, status == 405 ? "Allow: GET, HEAD\r\n" : "");
}

class Connection {
 public:
  explicit Connection(int socket) : socket_(socket) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(socket_); }

  pollfd wait_for() const { return {socket_, static_cast<short>(stage_ == Stage::sending ? POLLOUT : POLLIN), 0}; }
  Clock::time_point end() const { return end_; }

  // Does what can be done without waiting. False: it has ended.
  bool go_on(const std::shared_ptr<const std::string>& page) {
    switch (stage_) {
      case Stage::receiving: return receive(page);
      case Stage::sending: return send_more();
      default: return ignore();
    }
  }

 private:
  enum class Stage { receiving, sending, ignoring };

  // Of one call. Nothing there, an end or an error: 0 or below.
  ssize_t read(char* to, std::size_t size) const { return recv(socket_, to, size, 0); }
  static bool only_later() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

  bool receive(const std::shared_ptr<const std::string>& page) {
    char part[2048];
    const ssize_t got = read(part, sizeof part);
    if (got <= 0) return got < 0 && only_later();
    request_.append(part, static_cast<std::size_t>(got));
    const bool too_long = request_.size() > longest_request;
    if (!too_long && !whole(request_)) return true;
    const Answer answer = too_long ? Answer{431} : answer_to(request_);
    request_ = {};
    const std::size_t length = answer.status == 200 ? page->size() : 0;
    head_ = head_of(answer.status, length);
    if (answer.with_page) page_ = page;
    stage_ = Stage::sending;
    return send_more();
  }

  bool send_more() {
    const std::size_t length = page_ ? page_->size() : 0;
    while (sent_ < head_.size() + length) {
      const bool in_head = sent_ < head_.size();
      const std::string& text = in_head ? head_ : *page_;
      const std::size_t from = in_head ? sent_ : sent_ - head_.size();
      const ssize_t put = ::send(socket_, text.data() + from, text.size() - from, MSG_NOSIGNAL);
      if (put < 0) return only_later();
      sent_ += static_cast<std::size_t>(put);
    }
    page_.reset();
    // Closed while something is unread, the client would be told of an error in place of the answer.
    shutdown(socket_, SHUT_WR);
    stage_ = Stage::ignoring;
    return true;
  }

  bool ignore() {
    char part[2048];
    const ssize_t got = read(part, sizeof part);
    if (got <= 0) return got < 0 && only_later();
    ignored_ += static_cast<std::size_t>(got);
    return ignored_ < most_ignored;
  }

  int socket_;
  std::string request_, head_;
  std::shared_ptr<const std::string> page_;
  std::size_t sent_ = 0, ignored_ = 0;
  Stage stage_ = Stage::receiving;
  Clock::time_point end_ = Clock::now() + time_of_a_connection;
};

int until(Clock::time_point time) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - Clock::now()).count();
  return static_cast<int>(std::max<std::int64_t>(left, 0));
}

}  // namespace

Answer answer_to(std::string_view request) {
  const std::string_view first = next_line(request);
  const auto space = first.find(' '), second = first.rfind(' ');
  if (space == std::string_view::npos || second == space || !first.substr(second + 1).starts_with("HTTP/1."))
    return {400};
  const std::string_view method = first.substr(0, space), target = first.substr(space + 1, second - space - 1);
  std::size_t hosts = 0;
  std::string host;
  bool body = false;
  for (std::string_view line = next_line(request); !line.empty(); line = next_line(request)) {
    const auto colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos) return {400};
    std::string name(line.substr(0, colon));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (name == "host") ++hosts, host = host_name(value);
    body = body || name == "transfer-encoding" || (name == "content-length" && value != "0");
  }
  if (hosts != 1) return {400};
  if (host != "127.0.0.1" && host != "localhost" && host != "[::1]") return {421};
  if (method != "GET" && method != "HEAD") return {405};
  if (body) return {413};
  if (target != "/" && !target.starts_with("/?")) return {404};
  return {200, method == "GET"};
}

PageServer::PageServer(int port) {
  constexpr const char* taken = "the port cannot be had; another program may have it: ";
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  end_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const at = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  const int yes = 1;
  try {
    if (listener_ < 0 || end_ < 0) fail(std::strerror(errno));
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener_, at, size) != 0 || listen(listener_, waiting_connections) != 0 ||
        getsockname(listener_, at, &size) != 0)
      fail(taken + std::string(std::strerror(errno)));
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (bool ended = false; !ended;) try {
          serve();
          ended = true;
        } catch (const std::exception&) {  // no memory: all connections are closed; once more, later
          std::this_thread::sleep_for(25 * between_connections);
        }
    });
  } catch (const std::exception& error) {
    if (listener_ >= 0) close(listener_);
    if (end_ >= 0) close(end_);
    if (dynamic_cast<const std::system_error*>(&error)) fail(std::string("no thread can be started: ") + error.what());
    throw;
  }
}

PageServer::~PageServer() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(end_, &one, sizeof one);
  thread_.join();
  close(listener_);
  close(end_);
}

void PageServer::show(std::string page) {
  auto next = std::make_shared<const std::string>(std::move(page));
  const std::lock_guard guard(lock_);
  page_.swap(next);
}

std::shared_ptr<const std::string> PageServer::page() const {
  const std::lock_guard guard(lock_);
  return page_;
}

void PageServer::serve() {
  std::vector<std::unique_ptr<Connection>> connections;  // the oldest first, and so the first to end
  Clock::time_point next_accept = Clock::now();
  std::vector<pollfd> waits;
  for (;;) {
    const bool accepts = Clock::now() >= next_accept;
    waits.assign({{end_, POLLIN, 0}, {accepts ? listener_ : -1, POLLIN, 0}});
    for (const auto& connection : connections) waits.push_back(connection->wait_for());
    int wait = accepts ? -1 : until(next_accept);
    if (!connections.empty()) {
      const int end = until(connections.front()->end());
      wait = wait < 0 ? end : std::min(wait, end);
    }
    if (poll(waits.data(), waits.size(), wait) < 0) std::this_thread::sleep_for(between_connections);
    if (waits[0].revents != 0) return;
    const auto now = Clock::now();
    std::size_t i = 2;
    const auto page = this->page();
    std::erase_if(connections, [&](const auto& connection) {
      const bool ready = waits[i++].revents != 0;
      return connection->end() <= now || (ready && !connection->go_on(page));
    });
    if (waits[1].revents != 0) {
      const int socket = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      // Without descriptors or memory, later: the listener would stay ready.
      next_accept = Clock::now() + (socket < 0 ? 25 : 1) * between_connections;
      if (socket < 0) continue;
      if (connections.size() == most_connections) connections.erase(connections.begin());
      connections.push_back(std::make_unique<Connection>(socket));
    }
  }
}

}  // namespace examples
