#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/testing/gateway_fixture.h"
#include "net/testing/http2_raw_client.h"
#include "support/eventually.h"

// For tests of a gateway whose clients and services speak HTTP/2.

namespace leadsman::gateway {

class H2Test : public GatewayTest {
 protected:
  using Client = net::Http2RawClient;

  H2Test() {
    service().protocol = ServiceOptions::Protocol::kHttp2;
    service().timeouts = {.connect = std::chrono::seconds(5),
                          .per_try = std::chrono::seconds(20),
                          .idle = std::chrono::seconds(20)};
  }
  static std::string Head(int32_t stream, std::string_view path, bool end = false,
                          std::vector<std::pair<std::string_view, std::string_view>> more = {}) {
    std::string block = net::Hpack({{":method", "POST"},
                                    {":scheme", "http"},
                                    {":path", path},
                                    {":authority", "models"},
                                    {"content-type", "application/grpc"},
                                    {"te", "trailers"}});
    for (const auto& [name, value] : more) block += net::Hpack({{name, value}});
    return net::Http2Frame(NGHTTP2_HEADERS, end ? 5 : 4, stream, block);
  }
  struct Answer {
    std::map<std::string, std::string> head, trailers;
    std::string body;
    bool ended = false;
    std::optional<uint32_t> reset;
  };
  /// Reads until the stream has ended. Gives credit as it goes.
  static Answer Read(Client& client, int32_t stream) {
    Answer answer;
    while (auto frame = client.Read()) {
      if (frame->stream != stream) continue;
      if (frame->type == NGHTTP2_HEADERS)
        (answer.head.empty() ? answer.head : answer.trailers) = frame->fields;
      if (frame->type == NGHTTP2_DATA && !frame->payload.empty()) {
        answer.body += frame->payload;
        const auto size = static_cast<uint32_t>(frame->payload.size());
        client.Send(Client::Credit(0, size) + Client::Credit(stream, size));
      }
      if (frame->type == NGHTTP2_RST_STREAM) {
        answer.reset = static_cast<uint8_t>(frame->payload[3]);
        return answer;
      }
      if (frame->end()) {
        answer.ended = true;
        return answer;
      }
    }
    return answer;
  }
  EventList::Event Event() {
    EXPECT_TRUE(Eventually([&] { return !events_.all().empty(); }));
    return events_.all().empty() ? EventList::Event{} : events_.all()[0];
  }
};

}  // namespace leadsman::gateway
