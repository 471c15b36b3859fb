#include "profiler/trace_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/fake_system.h"
#include "base/json.h"

namespace qvl {
namespace {

using testing::ElementsAre;

class TraceWriters : public testing::Test {
 protected:
  TraceWriters() { folder_.write("/out/other", ""); }
  Json written(const Tracer& tracer, std::string_view process = "qvl") const {
    write_trace(tracer, process, folder_.files().at("/out/trace.json"));
    return parse_json(*folder_.files().read("/out/trace.json"), {.name = "trace"});
  }
  // Events of one phase.
  static std::vector<Json> of_phase(const Json& trace, const std::string& phase) {
    std::vector<Json> out;
    for (const Json& event : trace["traceEvents"]) {
      if (event["ph"] == phase) out.push_back(event);
    }
    return out;
  }

  FakeSystem folder_;
};

TEST_F(TraceWriters, write_every_event_with_its_required_keys) {
  Tracer tracer;
  tracer.name_thread("engine");
  tracer.enable();
  tracer.zone("vision", 1'000'000'123, 1'000'500'000, 7);
  tracer.counter("threads", 4);
  tracer.instant("control", "threads 4 -> 2");
  const Json trace = written(tracer);
  EXPECT_EQ(trace["displayTimeUnit"], "ms");
  EXPECT_EQ(trace["otherData"]["lost_events"], 0);
  for (const Json& event : trace["traceEvents"]) {
    EXPECT_TRUE(event["name"].is_string()) << event;
    EXPECT_EQ(event["pid"], ::getpid()) << event;
    EXPECT_TRUE(event["tid"].is_number_integer()) << event;
    EXPECT_TRUE(event["ph"] == "M" || event["ts"].is_number()) << event;
  }
  const auto metadata = of_phase(trace, "M");
  ASSERT_EQ(metadata.size(), 2);
  EXPECT_EQ(metadata[0]["name"], "process_name");
  EXPECT_EQ(metadata[0]["args"]["name"], "qvl");
  EXPECT_EQ(metadata[1]["name"], "thread_name");
  EXPECT_EQ(metadata[1]["args"]["name"], "engine");
  EXPECT_EQ(metadata[1]["tid"], ::gettid());

  const auto zones = of_phase(trace, "X");
  ASSERT_EQ(zones.size(), 1);
  EXPECT_EQ(zones[0]["name"], "vision");
  EXPECT_EQ(zones[0]["ts"], 1000000.123);
  EXPECT_EQ(zones[0]["dur"], 499.877);
  EXPECT_EQ(zones[0]["args"]["request"], 7);
  const auto counters = of_phase(trace, "C");
  ASSERT_EQ(counters.size(), 1);
  EXPECT_EQ(counters[0]["args"]["value"], 4);
  const auto instants = of_phase(trace, "i");
  ASSERT_EQ(instants.size(), 1);
  EXPECT_EQ(instants[0]["s"], "p");
  EXPECT_EQ(instants[0]["args"]["text"], "threads 4 -> 2");
}

TEST_F(TraceWriters, put_outer_zones_before_inner_ones_and_later_ones_after) {
  Tracer tracer;
  tracer.enable();
  tracer.zone("inner", 100, 200);  // zones are recorded where they end
  tracer.zone("second inner", 200, 300);
  tracer.zone("outer", 100, 400);
  tracer.zone("after", 400, 500);
  const auto zones = of_phase(written(tracer), "X");
  std::vector<std::string> names;
  std::vector<double> open_ends;
  for (const Json& zone : zones) {
    names.push_back(zone["name"]);
    const double begin = zone["ts"], end = begin + zone["dur"].get<double>();
    while (!open_ends.empty() && open_ends.back() <= begin + 1e-6) open_ends.pop_back();
    EXPECT_TRUE(open_ends.empty() || end <= open_ends.back() + 1e-6) << zone;  // nested, never overlapping
    open_ends.push_back(end);
  }
  EXPECT_THAT(names, ElementsAre("outer", "inner", "second inner", "after"));
}

TEST_F(TraceWriters, give_each_request_a_row_from_its_first_zone_to_its_last) {
  Tracer tracer;
  tracer.enable();
  tracer.zone("prefill", 5000, 6000, 2);
  tracer.zone("queue", 1000, 2000, 2);
  tracer.zone("other", 0, 9000);
  std::thread([&] { tracer.zone("decode", 6000, 8000, 2); }).join();
  tracer.zone("queue", 3000, 4000, UINT64_MAX);
  const Json trace = written(tracer);
  const auto begins = of_phase(trace, "b"), ends = of_phase(trace, "e");
  ASSERT_EQ(begins.size(), 2);
  ASSERT_EQ(ends.size(), 2);
  EXPECT_EQ(begins[0]["id"], "2");
  EXPECT_EQ(begins[0]["cat"], "request");
  EXPECT_EQ(begins[0]["name"], "request 2");
  EXPECT_EQ(begins[0]["ts"], 1.0);
  EXPECT_EQ(ends[0]["id"], "2");
  EXPECT_EQ(ends[0]["ts"], 8.0);
  EXPECT_EQ(ends[0]["tid"], begins[0]["tid"]);
  EXPECT_EQ(begins[1]["id"], "18446744073709551615");
  EXPECT_EQ(ends[1]["ts"], 4.0);
}

TEST_F(TraceWriters, escape_texts) {
  Tracer tracer;
  tracer.name_thread("a \"b\"\\\n");
  tracer.enable();
  tracer.instant("name \"x\"", "tab\there, caf\xC3\xA9, \x01 and no text: \xFF");
  const Json trace = written(tracer, "qvl \"1\"");
  const auto metadata = of_phase(trace, "M");
  EXPECT_EQ(metadata[0]["args"]["name"], "qvl \"1\"");
  EXPECT_EQ(metadata[1]["args"]["name"], "a \"b\"\\\n");
  const auto instants = of_phase(trace, "i");
  EXPECT_EQ(instants[0]["name"], "name \"x\"");
  EXPECT_EQ(instants[0]["args"]["text"], "tab\there, caf\xC3\xA9, \x01 and no text: \xEF\xBF\xBD");
}

TEST_F(TraceWriters, tell_how_many_events_are_missing) {
  Tracer tracer({.events_per_thread = 4});
  tracer.enable();
  for (int i = 0; i < 10; ++i) tracer.counter("c", i);
  const Json trace = written(tracer);
  EXPECT_EQ(trace["otherData"]["lost_events"], 6);
  EXPECT_EQ(of_phase(trace, "C").size(), 4);
  const auto path = folder_.files().at("/out/trace.json");
  EXPECT_EQ(write_trace(tracer, "qvl", path),
            path.string() + ": 6 events did not fit: it has the last 4 of each thread");
  tracer.disable();
  tracer.enable();
  EXPECT_EQ(write_trace(tracer, "qvl", path), std::nullopt);
}

TEST_F(TraceWriters, write_an_empty_trace) {
  EXPECT_EQ(written(Tracer())["traceEvents"].size(), 1);  // the name of the process
}

TEST_F(TraceWriters, keep_nanoseconds_after_years) {
  Tracer tracer;
  tracer.enable();
  tracer.zone("late", 9'000'000'000'000'000'001, 9'000'000'000'000'000'003);
  write_trace(tracer, "qvl", folder_.files().at("/out/trace.json"));
  const std::string text = *folder_.files().read("/out/trace.json");
  EXPECT_NE(text.find("\"ts\":9000000000000000.001,\"dur\":0.002"), std::string::npos) << text;
}

TEST_F(TraceWriters, leave_nothing_where_they_cannot_write) {
  const auto path = folder_.files().at("/none/trace.json");
  try {
    write_trace(Tracer(), "qvl", path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::environment);
    EXPECT_EQ(error.what(), path.string() + ": cannot write: No such file or directory");
  }
  written(Tracer());
  EXPECT_THAT(folder_.files().names("/out"), ElementsAre("other", "trace.json"));
}

TEST_F(TraceWriters, tell_beforehand_whether_they_can_write_and_leave_what_is_there) {
  check_can_write_trace(folder_.files().at("/out/trace.json"));
  EXPECT_THAT(folder_.files().names("/out"), ElementsAre("other"));
  folder_.write("/out/trace.json", "earlier");
  check_can_write_trace(folder_.files().at("/out/trace.json"));
  EXPECT_EQ(folder_.files().read("/out/trace.json"), "earlier");
  EXPECT_THAT(folder_.files().names("/out"), ElementsAre("other", "trace.json"));
  const std::pair<std::string, std::string> refused[] = {
      {"/none/trace.json", "No such file or directory"},
      {"/out/other/trace.json", "Not a directory"},
      {"/out", "found a folder, expected a file or nothing"}};
  for (const auto& [name, cause] : refused) {
    const auto path = folder_.files().at(name);
    try {
      check_can_write_trace(path);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::environment);
      EXPECT_EQ(error.what(), path.string() + ": cannot write: " + cause);
    }
  }
}

}  // namespace
}  // namespace qvl
