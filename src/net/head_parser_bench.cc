#include <benchmark/benchmark.h>

#include <string>

#include "net/head_parser.h"
#include "net/response_head.h"

namespace leadsman::net {
namespace {

void ParseHead(benchmark::State& state) {
  std::string text =
      "POST /v2/models/mlp/infer HTTP/1.1\r\nHost: 127.0.0.1:18000\r\nContent-Type: "
      "application/json\r\n";
  for (int i = 0; i < state.range(0); ++i)
    text += "X-Field-" + std::to_string(i) + ": some value or other\r\n";
  text += "Content-Length: 5474\r\n\r\n";
  HeadParser parser(64 << 10);
  HttpRequest request;
  RequestHead head;
  for (auto _ : state) {
    parser.Reset();
    benchmark::DoNotOptimize(parser.Feed(text, request, head));
  }
  state.SetBytesProcessed(state.iterations() * int64_t(text.size()));
}
BENCHMARK(ParseHead)->Arg(0)->Arg(4)->Arg(16);

void WriteHead(benchmark::State& state) {
  std::string out;
  ResponseHeadSpec spec;
  spec.content_type = "application/json";
  spec.content_length = 1234;
  for (auto _ : state) {
    out.clear();
    AppendResponseHead(out, spec);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(WriteHead);

}  // namespace
}  // namespace leadsman::net
