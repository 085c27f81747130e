#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "gateway/gateway.h"
#include "gateway/testing/event_list.h"
#include "gateway/testing/scripted_upstream.h"
#include "net/testing/raw_client.h"

// For tests of a gateway of one thread, in front of servers that do what the test says.

namespace leadsman::gateway {

/// Answers every request with its path; keeps the connection.
inline void Echo(ScriptedUpstream::Connection& c) {
  for (std::string head; !(head = c.ReadHead()).empty();) {
    const size_t space = head.find(' ');
    c.Answer(head.substr(space + 1, head.find(' ', space + 1) - space - 1));
  }
}

inline ScriptedUpstream::Script Says(const std::string& text) {
  return [text](ScriptedUpstream::Connection& c) {
    while (!c.ReadHead().empty()) c.Answer(text);
  };
}

/// Takes a request and never answers it.
inline void Hang(ScriptedUpstream::Connection& c) {
  c.ReadHead();
  c.AwaitEnd();
}

/// What an upstream's thread and the test's leave for each other.
class Seen {
 public:
  void Set(std::string text) {
    MutexLock lock(mutex_);
    text_ = std::move(text);
  }
  std::string Get() const {
    MutexLock lock(mutex_);
    return text_;
  }

 private:
  mutable Mutex mutex_;
  std::string text_ GUARDED_BY(mutex_);
};

class GatewayTest : public testing::Test {
 protected:
  GatewayTest() {
    options_.listeners.push_back({.address = "127.0.0.1", .port = 0});
    options_.io_threads = 1;
    ServiceOptions& service = options_.services.emplace_back();
    service.name = "digits";
    service.timeouts = {.connect = std::chrono::milliseconds(500),
                        .per_try = std::chrono::milliseconds(500),
                        .idle = std::chrono::milliseconds(400)};
  }
  ServiceOptions& service() { return options_.services[0]; }

  void AddVersion(int64_t version, std::vector<std::string> endpoints,
                  std::optional<double> weight = std::nullopt) {
    service().versions.push_back({version, std::move(endpoints), weight});
  }
  void AddVersion(int64_t version, const ScriptedUpstream& upstream,
                  std::optional<double> weight = std::nullopt) {
    AddVersion(version, {upstream.endpoint()}, weight);
  }
  /// Version 1 is one that hangs.
  const ScriptedUpstream& AddOneThatHangs() {
    hangs_ = std::make_unique<ScriptedUpstream>(Hang);
    AddVersion(1, *hangs_);
    return *hangs_;
  }
  void Start(ExchangeSink* exchanges = nullptr) {
    gateway_ = Gateway::Create({SystemClock(), events_, registry_, exchanges}, options_);
    const Status started = gateway_->Start();
    ASSERT_TRUE(started.ok()) << started;
    port_ = gateway_->view().listeners[0].port;
  }
  static std::string Get(const std::string& path, const std::string& fields = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: t\r\n" + fields + "\r\n";
  }
  static std::string Post(const std::string& body, const std::string& fields = "") {
    return "POST /p HTTP/1.1\r\nHost: t\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  /// One request on a connection of its own.
  std::string Ask(const std::string& request) {
    net::RawClient client(port_);
    EXPECT_TRUE(client.Send(request));
    return client.ReadResponse();
  }
  static std::string BodyOf(const std::string& response) {
    const size_t end = response.find("\r\n\r\n");
    return end == std::string::npos ? "" : response.substr(end + 4);
  }
  static int StatusOf(const std::string& response) {
    return response.size() > 12 ? std::atoi(response.c_str() + 9) : 0;
  }
  double Metric(const std::string& name, const std::vector<std::string>& labels) {
    for (const MetricFamily& family : registry_.Collect()) {
      if (family.description->name != name) continue;
      for (const MetricSample& sample : family.samples) {
        if (sample.label_values == labels) return sample.value;
      }
    }
    return -1;
  }
  double Errors(const std::string& reason) {
    return Metric("leadsman_gateway_errors_total", {"digits", "1", reason});
  }

  /// What comes until `text` has, of a client that is asked nothing else before.
  static std::string ReadTo(net::RawClient& client, std::string_view text) {
    std::string got;
    char buffer[4096];
    while (got.find(text) == std::string::npos) {
      const ssize_t n = recv(client.fd(), buffer, sizeof(buffer), 0);
      if (n <= 0) break;
      got.append(buffer, static_cast<size_t>(n));
    }
    return got;
  }

  Options options_;
  Registry registry_;
  EventList events_;
  std::unique_ptr<ScriptedUpstream> hangs_;
  std::unique_ptr<Gateway> gateway_;
  uint16_t port_ = 0;
};

}  // namespace leadsman::gateway
