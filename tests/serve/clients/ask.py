"""Asks a gateway through the clients of LangChain and LlamaIndex; prints what each of them got as JSON.

Runs in the environment of requirements.txt:  python ask.py http://127.0.0.1:8000
"""

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

DOCUMENTS = ["a -1", "b 2", "c 0.5"]
TEXTS = ["one two", "three"]


def langchain_openai(url: str) -> Any:
    from langchain_openai import OpenAIEmbeddings

    embeddings = OpenAIEmbeddings(
        base_url=f"{url}/v1", api_key="any", model="retriever:robust", check_embedding_ctx_length=False
    )
    return [*embeddings.embed_documents(TEXTS), embeddings.embed_query("four")]


def langchain_infinity(url: str) -> Any:
    from langchain_community.embeddings import InfinityEmbeddings

    embeddings = InfinityEmbeddings(model="retriever:robust", infinity_api_url=url)
    return [*embeddings.embed_documents(TEXTS), embeddings.embed_query("four")]


def llamaindex_embeddings(url: str) -> Any:
    from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

    embeddings = TextEmbeddingsInference(model_name="any", base_url=url)
    return [*embeddings.get_text_embedding_batch(TEXTS), embeddings.get_query_embedding("four")]


def langchain_cohere_rerank(url: str) -> Any:
    from langchain_cohere import CohereRerank

    compressor = CohereRerank(base_url=url, cohere_api_key="any", model="reranker:refine", top_n=2)
    return _compressed(compressor)


def langchain_jina_rerank(url: str) -> Any:
    from langchain_community.document_compressors import JinaRerank, jina_rerank

    jina_rerank.JINA_API_URL = f"{url}/v1/rerank"  # it knows one server only
    return _compressed(JinaRerank(jina_api_key="any", model="reranker:refine", top_n=2))


def langchain_jina_error(url: str) -> Any:
    from langchain_community.document_compressors import JinaRerank, jina_rerank

    jina_rerank.JINA_API_URL = f"{url}/v1/rerank"
    try:
        _compressed(JinaRerank(jina_api_key="any", model="jina-reranker-v3", top_n=2))
    except RuntimeError as error:
        return str(error)


def langchain_infinity_rerank(url: str) -> Any:
    from infinity_client import Client
    from langchain_community.document_compressors import InfinityRerank

    return _compressed(InfinityRerank(client=Client(base_url=url), model="reranker:refine", top_n=2))


def llamaindex_rerank(url: str) -> Any:
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in DOCUMENTS]
    ranked = TextEmbeddingInference(base_url=url, top_n=2).postprocess_nodes(nodes, query_str="q")
    return [[node.node.get_content(), node.score] for node in ranked]


def langchain_remote(url: str) -> Any:
    from langchain_community.retrievers import RemoteLangChainRetriever

    return _retrieved(RemoteLangChainRetriever(url=f"{url}/langchain/app?k=2"))


def langchain_plugin(url: str) -> Any:
    from langchain_community.retrievers import ChatGPTPluginRetriever

    return _retrieved(ChatGPTPluginRetriever(url=f"{url}/plugin/app", bearer_token="any", top_k=2))


def _compressed(compressor: Any) -> list[Any]:
    from langchain_core.documents import Document

    documents = [Document(page_content=text) for text in DOCUMENTS]
    found = compressor.compress_documents(documents, "q")
    return [[document.page_content, document.metadata["relevance_score"]] for document in found]


def _retrieved(retriever: Any) -> list[Any]:
    return [[document.page_content, document.metadata] for document in retriever.invoke("deposit")]


CLIENTS: tuple[Callable[[str], Any], ...] = (
    langchain_openai,
    langchain_infinity,
    llamaindex_embeddings,
    langchain_cohere_rerank,
    langchain_jina_rerank,
    langchain_jina_error,
    langchain_infinity_rerank,
    llamaindex_rerank,
    langchain_remote,
    langchain_plugin,
)


def ask(client: Callable[[str], Any], url: str) -> Any:
    try:
        return client(url)
    except Exception as error:
        return repr(error)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # on the frameworks' own deprecations
    print(json.dumps({client.__name__: ask(client, sys.argv[1]) for client in CLIENTS}))
