#pragma once
// A client of a web server on this machine that says and leaves out what it likes.

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

class HttpClient {
 public:
  explicit HttpClient(int port) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  HttpClient(HttpClient&& other) noexcept : socket_(std::exchange(other.socket_, -1)), connected_(other.connected_) {}
  HttpClient& operator=(HttpClient&&) = delete;
  ~HttpClient() {
    if (socket_ >= 0) close(socket_);
  }

  bool connected() const { return connected_; }
  // How much of it is taken within a second of waiting.
  std::size_t send(std::string_view text) {
    std::size_t sent = 0;
    while (sent < text.size() && ready(POLLOUT)) {
      const ssize_t n = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    return sent;
  }
  // All up to the end, or until nothing comes for a second.
  std::string receive() {
    std::string text;
    char part[65536];
    while (ready(POLLIN)) {
      const ssize_t n = recv(socket_, part, sizeof part, 0);
      if (n <= 0) break;
      text.append(part, static_cast<std::size_t>(n));
    }
    return text;
  }
  // Has the server closed the connection?
  bool closed() {
    char byte = 0;
    return recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
  }

 private:
  bool ready(short what) const {
    pollfd wait{socket_, what, 0};
    return poll(&wait, 1, 1000) == 1;
  }

  int socket_;
  bool connected_ = false;
};

inline const std::string get_request = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

// What a whole request is answered with.
inline std::string answer_of(int port, const std::string& request = get_request) {
  HttpClient client(port);
  client.send(request);
  return client.receive();
}
