#include "page.hpp"

#include <xtape/error.hpp>
#include <xtape/viz/report.hpp>

#include <fmt/format.h>
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
      ->transform(whole(0, 65535));
}

Page::Page(const CommonOptions& common, const PageOptions& options, std::vector<Curves> curves)
    : program_(options.app_->get_name()), path_(out_path(common, "report.html")), curves_(std::move(curves)) {
  for (const Curves& plot : curves_) values_.resize(values_.size() + plot.labels.size());
  Table settings{"settings", {}, {}};
  for (const CLI::Option* option : options.app_->get_options())
    if (option->get_name() != "--help") settings.rows.push_back({option->get_name(), option_value(*option)});
  tables_.push_back(std::move(settings));
  if (options.port >= 0 && common.writes) {
    server_ = std::make_unique<PageServer>(options.port);
    say("report: http://127.0.0.1:{}/\n", server_->port());
    flush_output();
  }
  write();
}

void Page::keep_in(data::TrainingState& state) {
  state.keep("report epochs", epochs_);
  for (std::size_t i = 0; i < values_.size(); ++i)
    state.keep(fmt::format("report curve {}", i), values_[i], data::ListLength::exactly(epochs_.size()));
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
