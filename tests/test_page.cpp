// report.html as it is seen: in a browser, and from the server while a program trains.

#include <xtape/viz/report.hpp>

#ifdef XTAPE_TESTS_HTTPLIB
#include <httplib.h>
#endif

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "child.hpp"
#include "http.hpp"
#include "programs.hpp"

namespace {
namespace viz = xtape::viz;

std::string found_browser() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"})
    if (std::system(fmt::format("command -v {} >/dev/null 2>&1", name).c_str()) == 0) return name;
  return "";
}

// What the page has become after its scripts have run for so many milliseconds of the browser's own clock.
struct Seen {
  std::string page, complaints;
};
Seen look(const std::string& browser, const std::string& address, int milliseconds) {
  const Folder folder;
  std::system(fmt::format("timeout 60 {} --headless --no-sandbox --disable-gpu --user-data-dir='{}' "
                          "--enable-logging=stderr --virtual-time-budget={} --dump-dom '{}' >'{}' 2>'{}' </dev/null",
                          browser, folder / "profile", milliseconds, address, folder / "page", folder / "err")
                  .c_str());
  std::string complaints;
  std::istringstream lines(content_of(folder / "err"));
  for (std::string line; std::getline(lines, line);)
    if (line.find("CONSOLE") != std::string::npos) complaints += line + "\n";
  return {content_of(folder / "page"), complaints};
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

// A page with a curve of that many points, and a word to be found again.
std::string page_of(std::size_t points, const std::string& word) {
  viz::Report page("run");
  viz::Plot plot{.title = "loss", .x_label = "epoch", .y_label = "nats"};
  plot.series.push_back({.label = "training"});
  for (std::size_t i = 1; i <= points; ++i) {
    plot.series[0].x.push_back(static_cast<double>(i));
    plot.series[0].y.push_back(std::exp(-static_cast<double>(i)));
  }
  page.curves(plot);
  page.picture("filters", {.width = 2, .height = 2, .pixels = {0, 80, 160, 240}});
  page.table("settings", {"name", "value"}, {{"--out", word}});
  return page.html();
}

}  // namespace

TEST_CASE("page: a browser draws report.html without a complaint, offline") {
  const std::string browser = found_browser();
  if (browser.empty()) {
    std::puts("skipped: no Chromium here");
    return;
  }
  const Folder folder;
  const Run result = run("pretrain", fmt::format("--methods none,rbm --hidden 5 --seeds 1 --epochs 3 --rates 0.5 "
                                                 "--pretrain-epochs 1 --batch 300 --out '{}'",
                                                 folder.string()));
  REQUIRE_MESSAGE(result.status == 0, result.err);
  const Seen seen = look(browser, "file://" + (folder / "report.html"), 1000);
  CHECK_MESSAGE(seen.complaints.empty(), seen.complaints);
  CHECK(count(seen.page, "<svg") == 1);
  CHECK(count(seen.page, "<path") == 2);  // a curve for each method
  CHECK(count(seen.page, "<td>rbm</td>") == 1);
  CHECK(seen.page.find("epoch</text>") != std::string::npos);
}

#ifdef XTAPE_TESTS_HTTPLIB
TEST_CASE("page: in a browser it follows what is served") {
  const std::string browser = found_browser();
  if (browser.empty()) {
    std::puts("skipped: no Chromium here");
    return;
  }
  httplib::Server server;
  int asked = 0;
  server.Get("/", [&](const httplib::Request&, httplib::Response& response) {
    response.set_content(++asked < 3 ? page_of(2, "early") : page_of(4, "late"), "text/html; charset=utf-8");
  });
  const int port = server.bind_to_any_port("127.0.0.1");
  REQUIRE(port > 0);
  std::thread thread([&] { server.listen_after_bind(); });
  const Seen seen = look(browser, fmt::format("http://127.0.0.1:{}/", port), 20000);
  server.stop();
  thread.join();
  CHECK(asked >= 3);
  CHECK(seen.page.find("late") != std::string::npos);
  CHECK(seen.page.find("early") == std::string::npos);
  CHECK(count(seen.page, "<svg") == 1);
  CHECK(count(seen.page, "<path") == 1);
  // It may complain that its icon is missing.
  CHECK_MESSAGE(seen.complaints.find("Uncaught") == std::string::npos, seen.complaints);
}

#endif

TEST_CASE("page: what a program serves follows its training") {
  const Folder folder;
  Child child({fmt::format("{}/train_classifier", XTAPE_PROGRAMS), "--model", "mlp", "--epochs", "100000", "--serve",
               "0", "--out", folder / "out"},
              folder / "stdout", folder / "stderr");
  const auto until = [&](const auto& done) {
    for (int i = 0; i < 3000 && !done(); ++i) {
      REQUIRE_MESSAGE(!child.ends_within(0), content_of(folder / "stderr"));
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return done();
  };
  int port = 0;
  REQUIRE(until([&] {
    const std::string said = content_of(folder / "stdout");
    const auto at = said.find("report: http://127.0.0.1:");
    return at != std::string::npos && std::sscanf(said.c_str() + at, "report: http://127.0.0.1:%d/", &port) == 1;
  }));
  // Neither the page nor the end waits for these.
  HttpClient idle(port), slow(port), foreign(port);
  idle.send(get_request);
  slow.send("GET / HT");
  foreign.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  CHECK(foreign.receive().starts_with("HTTP/1.1 421 "));
  const auto shows = [&](const char* epochs) {
    const std::string answer = answer_of(port);
    return answer.starts_with("HTTP/1.1 200 ") && answer.find(epochs) != std::string::npos;
  };
  CHECK(until([&] { return shows("\"x\":[1.0"); }));
  CHECK(until([&] { return shows("\"x\":[1.0,2.0,3.0"); }));
  const std::string other = answer_of(port, "GET /etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(other.starts_with("HTTP/1.1 404 "));
  child.kill(SIGTERM);
  CHECK(child.ends_within(5));
  CHECK(child.wait() == 143);
  CHECK(!HttpClient(port).connected());
}
