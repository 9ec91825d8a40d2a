#include "page.hpp"

#include <xtape/error.hpp>
#include <xtape/viz/report.hpp>

#include <fmt/format.h>
#ifdef EXAMPLES_WITH_HTTPLIB
#include <httplib.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <mutex>
#include <thread>

namespace examples {
using namespace xtape;

void PageOptions::add_to(CLI::App& to) {
  app_ = &to;
  to.add_option("--serve", port, "port of this machine's own address where the report is shown while it trains; 0: any")
      ->check(CLI::Range(0, 65535));
}

#ifdef EXAMPLES_WITH_HTTPLIB
// On this machine only.
class Page::Server {
 public:
  explicit Server(int port) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(2); };
    // Its default lets two programs have one port.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server_.Get("/", [this](const httplib::Request&, httplib::Response& response) {
      const std::lock_guard guard(lock_);
      response.set_content(page_, "text/html; charset=utf-8");
      response.set_header("Cache-Control", "no-store");
    });
    constexpr const char* here = "127.0.0.1";
    if (port == 0)
      port = server_.bind_to_any_port(here);
    else if (!server_.bind_to_port(here, port))
      port = -1;
    if (port < 0) throw DataError("--serve: the port cannot be had; another program may have it");
    fmt::print("report: http://{}:{}/\n", here, port);
    std::fflush(stdout);
    thread_ = std::thread([this] {
      server_.listen_after_bind();
      ended_ = true;
    });
    // Until then stop() would have nothing to stop.
    while (!server_.is_running() && !ended_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ~Server() {
    server_.stop();
    thread_.join();
  }
  void show(std::string page) {
    const std::lock_guard guard(lock_);
    page_ = std::move(page);
  }

 private:
  httplib::Server server_;
  std::mutex lock_;
  std::string page_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};
#else
class Page::Server {
 public:
  explicit Server(int) { throw DataError("--serve: built without cpp-httplib (Debian: libcpp-httplib-dev)"); }
  void show(const std::string&) {}
};
#endif

Page::Page(const CommonOptions& common, const PageOptions& options, std::vector<Curves> curves)
    : program_(options.app_->get_name()), path_(out_path(common, "report.html")), curves_(std::move(curves)) {
  for (const Curves& plot : curves_) values_.resize(values_.size() + plot.labels.size());
  Table settings{"settings", {}, {}};
  for (const CLI::Option* option : options.app_->get_options())
    if (option->get_name() != "--help") settings.rows.push_back({option->get_name(), option_value(*option)});
  tables_.push_back(std::move(settings));
  if (options.port >= 0 && common.writes) server_ = std::make_unique<Server>(options.port);
  write();
}

Page::~Page() = default;

void Page::keep_in(data::TrainingState& state) {
  state.keep("report epochs", epochs_);
  for (std::size_t i = 0; i < values_.size(); ++i) state.keep(fmt::format("report curve {}", i), values_[i]);
}

void Page::add(const std::vector<double>& values) {
  const double last = epochs_.empty() ? 0 : epochs_.back();
  epochs_.push_back(last + 1);
  for (std::size_t i = 0; i < values_.size(); ++i) values_[i].push_back(values.at(i));
}

void Page::next_model() {
  if (epochs_.empty()) return;
  epochs_.push_back(epochs_.back());
  for (auto& curve : values_) curve.push_back(std::numeric_limits<double>::quiet_NaN());
}

void Page::picture(const std::string& caption, viz::Image image) {
  const auto found =
      std::find_if(pictures_.begin(), pictures_.end(), [&](const auto& picture) { return picture.first == caption; });
  if (found == pictures_.end())
    pictures_.emplace_back(caption, std::move(image));
  else
    found->second = std::move(image);
}

void Page::table(const std::string& caption, std::vector<std::string> head,
                 std::vector<std::vector<std::string>> rows) {
  const auto found =
      std::find_if(tables_.begin(), tables_.end(), [&](const Table& table) { return table.caption == caption; });
  Table table{caption, std::move(head), std::move(rows)};
  if (found == tables_.end())
    tables_.push_back(std::move(table));
  else
    *found = std::move(table);
}

void Page::write() const {
  if (path_.empty()) return;
  viz::Report page(program_);
  std::size_t next = 0;
  for (const Curves& plot : curves_) {
    viz::Plot drawn{.title = plot.title, .x_label = "epoch", .y_label = plot.unit};
    for (const auto& label : plot.labels) drawn.series.push_back({.label = label, .x = epochs_, .y = values_[next++]});
    page.curves(drawn);
  }
  for (const auto& [caption, image] : pictures_) page.picture(caption, image);
  for (auto table = tables_.rbegin(); table != tables_.rend(); ++table)  // results first, settings last
    page.table(table->caption, table->head, table->rows);
  page.write(path_);
  if (server_) server_->show(page.html());
}

}  // namespace examples
