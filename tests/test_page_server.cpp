// The server of --serve, and clients that are slow, endless, many or from another site.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../examples/server.hpp"
#include "http.hpp"

namespace {

using examples::answer_to;
using examples::PageServer;

std::string request(const std::string& headers, const std::string& first = "GET / HTTP/1.1") {
  return first + "\r\n" + headers + "\r\n";
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string body_of(const std::string& answer) {
  return answer.substr(std::min(answer.size(), answer.find("\r\n\r\n") + 4));
}

constexpr std::ptrdiff_t most_connections = 8;

}  // namespace

TEST_CASE("page server: what it answers") {
  const std::map<std::string, int> expected = {
      {request("Host: 127.0.0.1:8080\r\n"), 200},
      {request("host:LOCALHOST:1\r\n"), 200},
      {request("Host: [::1]:80\r\nX: y\r\n"), 200},
      {"GET / HTTP/1.0\nHost: localhost\n\n", 200},
      {request("Host: localhost\r\n", "GET /?again HTTP/1.1"), 200},
      {request("Host: localhost\r\n", "HEAD / HTTP/1.1"), 200},
      {request("Host: localhost\r\nRange: bytes=0-,0-,0-\r\n"), 200},
      {request("Host: localhost\r\nContent-Length: 0\r\n"), 200},
      // Another site's name that was made to lead here.
      {request("Host: evil.example\r\n"), 421},
      {request("Host: localhost.evil.example\r\n"), 421},
      {request("Host: 127.0.0.1.evil.example:80\r\n"), 421},
      {request("Host: 127.0.0.1:80@evil.example\r\n"), 421},
      {request("Host: localhost:8080:evil\r\n"), 421},
      {request("Host:\r\n"), 421},
      {request(""), 400},
      {request("Host: localhost\r\nHost: evil.example\r\n"), 400},
      {request("Host: localhost\r\n: y\r\n"), 400},
      {request("Host: localhost\r\nno colon\r\n"), 400},
      {request("Host: localhost\r\n", "GET /"), 400},
      {request("Host: localhost\r\n", "GET"), 400},
      {request("Host: localhost\r\n", ""), 400},
      {request("Host: localhost\r\n", "GET / FTP/1.1"), 400},
      {request("Host: localhost\r\n", "POST / HTTP/1.1"), 405},
      {request("Host: localhost\r\n", "DELETE / HTTP/1.1"), 405},
      {request("Host: localhost\r\nContent-Length: 5\r\n"), 413},
      {request("Host: localhost\r\nContent-Length: -1\r\n"), 413},
      {request("Host: localhost\r\nTransfer-Encoding: chunked\r\n"), 413},
      {request("Host: localhost\r\n", "GET /etc/passwd HTTP/1.1"), 404},
      {request("Host: localhost\r\n", "GET //evil.example/ HTTP/1.1"), 404},
      {request("Host: localhost\r\n", "GET http://evil.example/ HTTP/1.1"), 404}};
  for (const auto& [text, status] : expected) CHECK_MESSAGE(answer_to(text).status == status, text);
  CHECK(answer_to(get_request).with_page);
  CHECK(!answer_to(request("Host: localhost\r\n", "HEAD / HTTP/1.1")).with_page);
  // Any text ends in an answer.
  for (std::size_t size = 0; size < get_request.size(); ++size) answer_to(get_request.substr(0, size));
}

TEST_CASE("page server: shows the last page, whole and once, whatever ranges are asked for") {
  PageServer server(0);
  server.show("early");
  CHECK(body_of(answer_of(server.port())) == "early");
  const std::string page(1'000'000, 'x');
  server.show(page);
  std::string ranges = "Range: bytes=0-";
  while (ranges.size() < 7800) ranges += ",0-";
  const std::string answer = answer_of(server.port(), request("Host: localhost\r\n" + ranges + "\r\n"));
  CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(body_of(answer) == page);
  const std::string head = answer_of(server.port(), request("Host: localhost\r\n", "HEAD / HTTP/1.1"));
  CHECK(head.find("Content-Length: 1000000\r\n") != std::string::npos);
  CHECK(body_of(head).empty());
  const std::string refused = answer_of(server.port(), request("Host: evil.example\r\n"));
  CHECK(refused.starts_with("HTTP/1.1 421 "));
  CHECK(body_of(refused).empty());
  // One that is taken is refused, as is one that this user may not have.
  CHECK_THROWS_AS(PageServer{server.port()}, std::exception);
}

TEST_CASE("page server: takes no more of a request than it answers to") {
  PageServer server(0);
  const std::string endless(4'000'000, 'a'), page = request("Host: localhost\r\nTransfer-Encoding: chunked\r\n");
  for (const std::string& beginning :
       {std::string(), std::string("GET / HTTP/1.1\r\nX: "), page, request("Host: a\r\n", "POST / HTTP/1.1")}) {
    HttpClient client(server.port());
    client.send(beginning);
    std::size_t taken = 0;
    for (int i = 0; i < 25; ++i) {
      const std::size_t part = client.send(endless);
      taken += part;
      if (part < endless.size()) break;
    }
    CHECK(taken < 20'000'000);  // what the system holds for both sides, of 100 MB
  }
  HttpClient client(server.port());
  client.send(std::string(9000, 'a'));
  CHECK(client.receive().starts_with("HTTP/1.1 431 "));
}

TEST_CASE("page server: idle and slow clients keep nobody waiting, and no descriptors") {
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  std::optional<PageServer> server(std::in_place, 0);
  const std::string page(8'000'000, 'x');
  server->show(page);
  const auto before = descriptors();
  std::vector<HttpClient> slow;
  for (std::ptrdiff_t i = 0; i < 5 * most_connections; ++i) {
    slow.emplace_back(server->port());
    REQUIRE(slow.back().connected());
    slow.back().send(i % 2 == 0 ? get_request : "GET / HT");  // and reads nothing, or goes on later
  }
  const auto start = std::chrono::steady_clock::now();
  CHECK(body_of(answer_of(server->port())) == page);
  CHECK(descriptors() <= before + std::ssize(slow) + most_connections);
  CHECK(std::ranges::count_if(slow, [](HttpClient& client) { return client.closed(); }) >= most_connections);
  for (int i = 0; i < 100; ++i) server->show("later");
  server.reset();
  CHECK(seconds_since(start) < 2);
}
