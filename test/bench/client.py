"""client.py - clients that others would write, and a clock

  consume BOOTSTRAP TOPIC DSN COUNT   a careful consumer: rows by COPY, 10,000 messages a
                                      transaction, the offsets in the same transaction
  latency BOOTSTRAP TOPIC DSN STREAM RATE SECONDS FILE
                                      sends the lines of FILE in turn; prints p50, p99 and the
                                      most, in ms, from produce to visible
  calls DSN COUNT QUERY               one warm client; prints the median of its calls, in ms
"""

import json
import multiprocessing
import statistics
import sys
import time

import psycopg


def take(db, batch):
    """One transaction: the rows of the messages, and how far they go."""
    places = {}
    with db.transaction():
        cursor = db.cursor()
        with cursor.copy("COPY own.plain (id, name, amount, at, note) FROM STDIN") as copy:
            for message in batch:
                if message.error():
                    raise RuntimeError(message.error())
                row = json.loads(message.value(), parse_float=str)
                copy.write_row((row["id"], row["name"], row["amount"], row["at"], row["note"]))
                places[message.partition()] = message.offset() + 1
        for part, place in places.items():
            cursor.execute("UPDATE own.places SET place = %s WHERE part = %s", (place, part))


def consume(bootstrap, topic, dsn, count):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "peer", "enable.auto.commit": False})
    done = 0
    with psycopg.connect(dsn, autocommit=True) as db:
        places = db.execute("SELECT part, place FROM own.places").fetchall()
        consumer.assign([TopicPartition(topic, part, place) for part, place in places])
        while done < int(count):
            batch = consumer.consume(10000, timeout=0.2)
            if batch:
                take(db, batch)
                done += len(batch)
    consumer.close()


def watch(dsn, stream, count, result):
    """Until the stream has committed count messages: when each number was first seen."""
    seen = []
    with psycopg.connect(dsn, autocommit=True) as db:
        while len(seen) < count:
            row = db.execute("SELECT next_offset FROM fluct.stream_offsets WHERE stream = %s",
                             (stream,), prepare=True).fetchone()
            now = time.perf_counter()
            seen.extend([now] * (row[0] - len(seen) if row else 0))
            time.sleep(0.002)
    result.put(seen)


def templates(file):
    """The orders of a file as text, without the beginning that has their id."""
    with open(file, encoding="utf-8") as lines:
        orders = [json.loads(line) for line in lines]
    for order in orders:
        del order["order_id"]
    return [json.dumps(order)[1:] for order in orders]


def latency(bootstrap, topic, dsn, stream, rate, seconds, file):
    from confluent_kafka import Producer

    rate = int(rate)
    count = rate * (int(seconds) + 1)
    orders = templates(file)
    result = multiprocessing.Queue()
    # a process of its own: the producer must not hold up the clock
    watcher = multiprocessing.Process(target=watch, args=(dsn, stream, count, result), daemon=True)
    watcher.start()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    sent = []
    begin = time.perf_counter() + 1
    for i in range(count):
        message = f'{{"order_id": "{stream}-{i}", {orders[i % len(orders)]}'
        time.sleep(max(0, begin + i / rate - time.perf_counter()))
        sent.append(time.perf_counter())
        producer.produce(topic, message)
        producer.poll(0)
    producer.flush()
    seen = result.get(timeout=60)
    # the first second is the client's and the stream's warming up
    taken = sorted(1000 * (b - a) for a, b in list(zip(sent, seen))[rate:])
    late = 1000 * max(at - begin - i / rate for i, at in enumerate(sent))
    print(f"the producer was up to {late:.1f} ms late", file=sys.stderr)
    print(f"{statistics.median(taken):.1f} {taken[int(len(taken) * 0.99)]:.1f} {taken[-1]:.1f}")


def calls(dsn, count, query):
    taken = []
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("SET client_min_messages = error")
        for _ in range(int(count) + 3):
            began = time.perf_counter()
            db.execute(query).fetchall()
            taken.append(1000 * (time.perf_counter() - began))
    print(f"{statistics.median(taken[3:]):.2f}")


if __name__ == "__main__":
    {"consume": consume, "latency": latency, "calls": calls}[sys.argv[1]](*sys.argv[2:])
