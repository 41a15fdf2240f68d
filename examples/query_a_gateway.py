"""Asks a gateway that runs (`mixstage serve PLAN`), and tells it what a user made of the answer.

python examples/query_a_gateway.py "who pays for broken heating"
python examples/query_a_gateway.py "who pays for broken heating" --url http://127.0.0.1:8000 --api-key KEY
"""

import argparse
import asyncio
import sys

import mixstage


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("query")
    options.add_argument("--url", default="http://127.0.0.1:8000")
    options.add_argument("--api-key", help="if the gateway wants one: see `mixstage keys`")
    given = options.parse_args()
    try:
        search(given.query, given.url, given.api_key)
        asyncio.run(compare(given.query, given.url, given.api_key))
    except mixstage.ClientError as error:  # refused, or not reached within its tries
        sys.exit(f"{given.url}: {error}")


def search(query: str, url: str, api_key: str | None) -> None:
    """The best three, with what made them; then a mark that the next curriculum may learn from."""
    with mixstage.Client(url, api_key=api_key) as client:
        application, served = next(iter(client.applications().items()))
        print(f"{application} is served by {served.composition} (release {served.release})")
        answer = client.search(application, query, k=3, explain=True, user="example")
        for hit in answer.hits:
            found = f"{hit.ranks.retrieval}. of the retriever" if hit.ranks else ""
            print(f"{hit.score:9.4f}  {hit.id}  {hit.title}  ({found})")
        print(f"in {answer.timings.total_ms:.0f} ms")
        if answer.hits:
            client.feedback(application, answer.request_id, answer.hits[0].id, "relevant", user="example")


async def compare(query: str, url: str, api_key: str | None) -> None:
    """Every composition that answers by name, asked at once."""
    async with mixstage.AsyncClient(url, api_key=api_key) as client:
        application = next(iter(await client.applications()))
        names = (await client.compositions(application)).available
        answers = await asyncio.gather(*(client.search(application, query, k=3, composition=name) for name in names))
        for name, answer in zip(names, answers, strict=True):
            print(f"{name}: {', '.join(hit.id for hit in answer.hits)}")


if __name__ == "__main__":
    main()
