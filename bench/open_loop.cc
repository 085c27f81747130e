// Sends one HTTP/1.1 request over and over at a given rate, whether or not the server keeps up, and prints what came of it
// as one line of JSON. A request's time runs from the moment it was due, not from when a connection was free to send it: a
// server that stalls is charged for the requests that had to wait (no coordinated omission).
//
//   open_loop --port P --request FILE --rate R [--connections 64] [--seconds 5] [--arrivals poisson|constant] [--seed 1]
//
// FILE holds the whole request, head and body. Answers must have a Content-Length. One thread, epoll. Requests due while
// all connections are busy wait in line; those not answered two seconds after the end are counted as `unanswered`.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  int port = 0;
  std::string request_file;
  double rate = 1000;
  int connections = 64;
  double seconds = 5;
  bool poisson = true;
  uint64_t seed = 1;
};

[[noreturn]] void Die(const std::string& message) {
  std::fprintf(stderr, "open_loop: %s\n", message.c_str());
  std::exit(2);
}

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const char* value = argv[i + 1];
    if (flag == "--port") {
      options.port = std::atoi(value);
    } else if (flag == "--request") {
      options.request_file = value;
    } else if (flag == "--rate") {
      options.rate = std::atof(value);
    } else if (flag == "--connections") {
      options.connections = std::atoi(value);
    } else if (flag == "--seconds") {
      options.seconds = std::atof(value);
    } else if (flag == "--arrivals") {
      options.poisson = std::string_view(value) == "poisson";
    } else if (flag == "--seed") {
      options.seed = std::strtoull(value, nullptr, 10);
    } else {
      Die("unknown flag " + std::string(flag));
    }
  }
  if (argc % 2 == 0 || options.port <= 0 || options.request_file.empty() || options.rate <= 0 ||
      options.connections < 1 || options.seconds <= 0) {
    Die("give --port, --request, --rate (more than 0), and a value for every flag");
  }
  return options;
}

struct Connection {
  int fd = -1;
  bool busy = false;
  Clock::time_point due;
  size_t sent = 0;
  std::string in;
};

class Generator {
 public:
  explicit Generator(Options options) : options_(std::move(options)), random_(options_.seed) {
    std::ifstream file(options_.request_file, std::ios::binary);
    request_.assign(std::istreambuf_iterator<char>(file), {});
    if (request_.empty()) Die("cannot read " + options_.request_file);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    connections_.resize(static_cast<size_t>(options_.connections));
    for (Connection& connection : connections_) {
      Open(connection);
      idle_.push_back(&connection);
    }
  }

  int Run() {
    const auto begin = Clock::now();
    const auto end = begin + Seconds(options_.seconds);
    const auto last = end + std::chrono::seconds(2);
    auto next = begin + Gap();
    while (true) {
      auto now = Clock::now();
      for (; next <= now && next < end; next += Gap()) {
        waiting_.push_back(next);
        ++due_;
      }
      while (!waiting_.empty() && !idle_.empty()) {
        Connection* connection = idle_.back();
        idle_.pop_back();
        connection->due = waiting_.front();
        waiting_.pop_front();
        Begin(*connection);
      }
      if (now >= end && waiting_.empty() && idle_.size() == connections_.size()) break;
      if (now >= last) break;
      Wait(now < end ? next : last);
    }
    Print();
    return 0;
  }

 private:
  static Clock::duration Seconds(double value) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(value));
  }
  Clock::duration Gap() {
    if (!options_.poisson) return Seconds(1 / options_.rate);
    return Seconds(std::exponential_distribution<double>(options_.rate)(random_));
  }

  void Open(Connection& connection) {
    connection.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options_.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(connection.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      Die("cannot connect to port " + std::to_string(options_.port) + ": " + std::strerror(errno));
    }
    int on = 1;
    setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &connection;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
  }

  void Begin(Connection& connection) {
    connection.busy = true;
    connection.sent = 0;
    connection.in.clear();
    // Blocking: a request of some kilobytes goes into the socket's empty buffer at once.
    Send(connection);
  }

  void Send(Connection& connection) {
    while (connection.sent < request_.size()) {
      ssize_t n = send(connection.fd, request_.data() + connection.sent,
                       request_.size() - connection.sent, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return Fail(connection);
      connection.sent += static_cast<size_t>(n);
    }
  }

  void Wait(Clock::time_point until) {
    auto left = until - Clock::now();
    timespec timeout{};
    if (left > Clock::duration::zero()) {
      auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
      timeout.tv_sec = ns / 1'000'000'000;
      timeout.tv_nsec = ns % 1'000'000'000;
    }
    epoll_event events[64];
    int count = epoll_pwait2(epoll_, events, 64, &timeout, nullptr);
    for (int i = 0; i < count; ++i) Receive(*static_cast<Connection*>(events[i].data.ptr));
  }

  void Receive(Connection& connection) {
    char buffer[64 << 10];
    ssize_t n = recv(connection.fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0 || !connection.busy) return Fail(connection);
    connection.in.append(buffer, static_cast<size_t>(n));
    size_t head = connection.in.find("\r\n\r\n");
    if (head == std::string::npos) return;
    size_t length = ContentLength(std::string_view(connection.in).substr(0, head));
    if (connection.in.size() < head + 4 + length) return;
    if (connection.in.starts_with("HTTP/1.1 200")) {
      latencies_.push_back(Clock::now() - connection.due);
    } else {
      ++refused_;
    }
    connection.busy = false;
    idle_.push_back(&connection);
  }

  static size_t ContentLength(std::string_view head) {
    constexpr std::string_view kName = "content-length:";
    for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at)) {
      at += 2;
      if (head.size() - at > kName.size() &&
          strncasecmp(head.data() + at, kName.data(), kName.size()) == 0) {
        return std::strtoull(head.data() + at + kName.size(), nullptr, 10);
      }
    }
    Die("an answer without Content-Length");
  }

  void Fail(Connection& connection) {
    if (connection.busy) ++broken_;
    close(connection.fd);
    Open(connection);
    if (connection.busy) idle_.push_back(&connection);
    connection.busy = false;
  }

  double Quantile(double q) {
    if (latencies_.empty()) return 0;
    auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(latencies_.size())));
    rank = std::clamp<size_t>(rank, 1, latencies_.size()) - 1;
    std::nth_element(latencies_.begin(), latencies_.begin() + static_cast<ptrdiff_t>(rank),
                     latencies_.end());
    return std::chrono::duration<double, std::micro>(latencies_[rank]).count();
  }

  void Print() {
    const uint64_t answered = latencies_.size() + refused_ + broken_;
    std::printf(
        "{\"due\": %llu, \"ok\": %zu, \"refused\": %llu, \"broken\": %llu, \"unanswered\": %llu, "
        "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
        static_cast<unsigned long long>(due_), latencies_.size(),
        static_cast<unsigned long long>(refused_), static_cast<unsigned long long>(broken_),
        static_cast<unsigned long long>(due_ - std::min(due_, answered)), Quantile(0.5),
        Quantile(0.99), Quantile(0.999), Quantile(1));
  }

  Options options_;
  std::mt19937_64 random_;
  std::string request_;
  int epoll_ = -1;
  std::vector<Connection> connections_;
  std::vector<Connection*> idle_;
  std::deque<Clock::time_point> waiting_;
  std::vector<Clock::duration> latencies_;
  uint64_t due_ = 0;
  uint64_t refused_ = 0;
  uint64_t broken_ = 0;
};

}  // namespace

int main(int argc, char** argv) { return Generator(Parse(argc, argv)).Run(); }
