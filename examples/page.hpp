#pragma once
// The page that a training program writes after every epoch, and serves while it trains if it is asked to.

#include <xtape/data/training_state.hpp>
#include <xtape/viz/image.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common.hpp"
#include "server.hpp"

namespace examples {

struct PageOptions {
  int port = -1;  // 0: one that is free; below 0: the page is written only

  void add_to(CLI::App& to);

 private:
  friend class Page;
  const CLI::App* app_ = nullptr;
};

// report.html in the output folder; nothing, in a process that writes no files.
//     Page page(options, options.page, {{"loss", "nats", {"training", "validation"}}});
//     page.keep_in(run.state);
//     ...                                  after every epoch:
//     page.add({train_loss, valid_loss});
//     page.write();
class Page {
 public:
  // Curves over the epochs, several in a plot.
  struct Curves {
    std::string title, unit;
    std::vector<std::string> labels;
  };

  // Throws DataError if the port cannot be had.
  Page(const CommonOptions& common, const PageOptions& options, std::vector<Curves> curves);

  // The curves' points survive an interruption.
  void keep_in(xtape::data::TrainingState& state);
  // An epoch's values, one for each curve in order. NaN is a gap.
  void add(const std::vector<double>& values);
  // Another model begins: its curves do not go on from the last one's.
  void next_model();
  // One of the same caption is replaced.
  void picture(const std::string& caption, xtape::viz::Image image);
  void table(const std::string& caption, std::vector<std::string> head, std::vector<std::vector<std::string>> rows);

  void write() const;

 private:
  struct Table {
    std::string caption;
    std::vector<std::string> head;
    std::vector<std::vector<std::string>> rows;
  };

  std::string program_, path_;
  std::vector<Curves> curves_;
  std::vector<double> epochs_;
  std::vector<std::vector<double>> values_;  // by curve
  std::vector<Table> tables_;                // the first are the settings
  std::vector<std::pair<std::string, xtape::viz::Image>> pictures_;
  std::unique_ptr<PageServer> server_;
};

}  // namespace examples
