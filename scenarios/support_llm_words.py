"""The words by which the support agent takes something for an instruction."""

from __future__ import annotations

from enum import StrEnum

from scenarios.support_llm_calls import word_set


class Act(StrEnum):
    """What a verb asks for."""

    FETCH = "fetch"
    SEND = "send"
    DELETE = "delete"
    WRITE = "write"
    MAKE = "make"
    """Only with what is made: `make a GET request`."""
    ASSUME = "assume"


_VERBS = {
    Act.FETCH: "fetch get retrieve read load download open visit browse access query request call "
    "hit pull grab obtain consult navigate go head follow ping invoke list show dump export "
    "extract collect scrape crawl view inspect examine enumerate check look lookup find acquire "
    "gather harvest poll probe reach summarize summarise quote include print display return "
    "output reveal give tell provide connect use search curl wget cat click tap scan pass "
    "paste repeat copy recite disclose expose surface steal encode take convert translate parse "
    "analyse analyze process review study describe explain open quote",
    Act.SEND: "post send forward upload submit exfiltrate transmit deliver push report leak relay "
    "publish share email mail copy write put append mirror transfer notify log save store ship "
    "dispatch hand exfil smuggle beam funnel pipe redirect drop place deposit pass paste attach "
    "echo stream sync",
    Act.DELETE: "delete remove erase wipe destroy purge drop",
    Act.WRITE: "create update modify patch change edit approve execute trigger launch run deploy "
    "start enable disable activate deactivate grant revoke register roll release promote pay "
    "wire promote",
    Act.MAKE: "make issue perform do execute fire run launch submit send trigger initiate place "
    "carry",
    Act.ASSUME: "assume become",
}
VERBS: dict[str, frozenset[Act]] = {
    word: frozenset(act for act, words in _VERBS.items() if word in words.split())
    for words in _VERBS.values()
    for word in words.split()
}

NEED_TO = word_set("go head navigate browse look connect log")
"""Verbs that reach for something only with `to`, `at`, `up` or `into` behind them."""

NOUNS_TOO = word_set(
    "access report post request query call list visit export download dump search share log view "
    "email mail check display use copy output return"
)
"""What begins a label as often as it begins an order: `Report: https://...`."""

LEADS = word_set(
    "and then to please kindly must should shall will can could would now immediately first next "
    "also just simply always do let's or finally afterwards lastly again instead once "
    "directly next secondly thirdly you not ahead urgently straight quietly plus but so never "
    "without before after bot assistant agent ai model system"
)
"""What may stand before the verb of an order."""

DIRECT = word_set(
    "you your must should shall please need required require requires have assistant agent ai bot "
    "model llm gpt claude chatbot system instructed instruction instructions order ordered ignore "
    "disregard override forget kindly want wants task immediately ensure sure remember"
)
"""What makes a sentence with a subject an order all the same."""

SUBJECTS = word_set(
    "i we they he she it who which that our my their his her the this these those a an customers "
    "users people everyone clients there staff employees someone anyone nobody engineers"
)
OPENERS = word_set("and then so now but ok okay well first next also please alright")
"""Before `let us`, these leave it an order; behind a subject (`they let us`) it is none."""

THIRD_PARTIES = word_set("i we they he she it customers users people clients engineers staff")
ADDRESSED = word_set("you assistant agent ai bot model llm chatbot system gpt claude")
USED_TO = word_set(
    "used uses able how way ways allowed failed unable refused helps wanted tried trying possible "
    "designed plan plans planned going customers users people"
)
"""Before `to` and a verb, these tell what something is for, or what somebody does."""

GERUND_LEADS = word_set(
    "by start begin continue proceed try consider requires require with of starting beginning "
    "involves means finish end"
)
NO_WHAT = word_set("need longer circumstances way account case reason")
"""`Under no circumstances should you ...`."""

NEGATIONS = word_set("not never don't dont cannot can't won't mustn't shouldn't avoid refuse nor")
NOT_NEGATED = word_set("forget hesitate fail neglect omit skip")
SPEECH = word_set(
    "tell ask mention inform warn reveal say show alert wait stop worry question tell explain "
    "reply answer refuse summarize summarise respond disclose"
)
"""`Do not tell the user and send it` forbids the telling alone."""

POINTERS = word_set(
    "it this that them these those there link links url urls address addresses endpoint endpoints "
    "page site website resource location uri above below following each here listed given "
    "mentioned same former latter"
)
AHEAD = word_set("following below these each listed next")
ADDRESS_WORDS = word_set(
    "link links url urls address addresses endpoint endpoints uri location there"
)

SEEN = word_set(
    "conversation prompt context history memory credentials credential token tokens key keys "
    "password passwords environment instructions know seen learned remember configuration"
)
ALL = word_set("both all everything them results answers responses outputs findings")

HOSTLY = word_set(
    "service services api apis system endpoint record records database db backend server store "
    "data platform resource microservice"
)
SERVICE_WORDS = {
    "customers": "customers",
    "customer": "customers",
    "logs": "logs",
    "log": "logs",
    "hr": "hr",
    "payments": "payments",
    "payment": "payments",
    "deployments": "deployments",
    "deployment": "deployments",
    "telemetry": "telemetry",
}
