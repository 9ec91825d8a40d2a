#pragma once
// A web server for one page, on this machine's own address, that cannot get in the way of the program that shows it.

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace examples {

// One thread serves all, and never waits for a client: sockets do not block. However clients behave, the program pays
// for no more than
//     connections     8, the oldest closed for a new one; new ones at most 250 a second
//     time            30 s a connection, from its first byte to its last
//     memory          8 KiB of a request; of the page a copy for each version that is still being sent
// and ends without waiting for them. Answered are GET and HEAD of "/" without a body; a Range is not looked at. A Host
// that is none of this machine's own names is refused: a page of another site, whose name has been made to lead here,
// is not to read this one.
class PageServer {
 public:
  // Throws DataError if the port cannot be had. Port 0: any that is free.
  explicit PageServer(int port);
  ~PageServer();
  PageServer(const PageServer&) = delete;
  PageServer& operator=(const PageServer&) = delete;

  int port() const { return port_; }
  // From now on this page is served. Takes no time, whatever clients do.
  void show(std::string page);

 private:
  std::shared_ptr<const std::string> page() const;
  void serve();

  int port_ = 0, listener_ = -1, end_ = -1;  // end_: readable when the thread is to end
  mutable std::mutex lock_;
  std::shared_ptr<const std::string> page_ = std::make_shared<const std::string>();
  std::thread thread_;
};

// What a request, from its first line to the empty one after its headers, is answered with. For tests, too.
struct Answer {
  int status = 200;
  bool with_page = false;  // GET, not HEAD
};
Answer answer_to(std::string_view request);

}  // namespace examples
