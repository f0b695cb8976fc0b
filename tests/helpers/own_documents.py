"""A folder of thirty documents and a file of twenty questions about them, as a user may have: a workshop's handbook.

    python -m tests.helpers.own_documents FOLDER        writes FOLDER/documents/ and FOLDER/questions.jsonl

English and Chinese; Markdown, text and PDF. All of it was written for this repository.
"""

import json
import sys
import textwrap
from pathlib import Path

ENGLISH = {
    "opening.md": """# Opening hours

        The workshop on Harbour Street opens at half past seven on weekdays. On the first Saturday of a month it opens
        too, from nine until one, for members who cannot come during the week.

        Keys are kept by the two people on duty. Whoever leaves last switches off the compressor and writes the reading
        of the meter into the blue book beside the door.""",
    "dues.md": """# What members pay

        Members pay 23 euros a month by standing order. Students and people out of work pay half of it, and nobody is
        asked for papers.

        Whoever is three months behind gets a letter, not a reminder from a machine. The board has waived dues for
        people in hard times more often than it has sent anybody away.""",
    "lathe.md": """# The lathe

        The lathe in the back room was bought from a school in 1987 and has been overhauled twice since. It takes work
        up to 310 millimetres across.

        Nobody runs it alone in the building. Long hair is tied back, sleeves are rolled up, and gloves stay in the
        drawer, since a glove that is caught takes the hand with it.""",
    "kiln.md": """# The kiln

        Glaze firings go up to 1240 degrees and take a day and a half with cooling. The door stays shut until the dial
        shows less than eighty.

        Shelves are washed with kiln wash before each glaze firing. Pots with a crack are not fired: they take the
        neighbours with them when they burst.""",
    "first_aid.md": """# First aid

        The first aid box hangs left of the sink. Marta Oyelaran fills it up every quarter and wants to be told when
        something was taken out, even a single plaster.

        Burns are cooled with running water for twenty minutes. Eyes are rinsed at the bottle by the grinder.""",
    "waste.md": """# Waste

        Oily rags go into the steel drum with the lid, never into the paper bin: they can set themselves alight. The
        drum is collected by the firm Brightwater on the last Tuesday of a month.

        Batteries are taped at both ends. Paint that is left over goes to the exchange shelf for four weeks.""",
    "bicycles.md": """# Lending bicycles

        Seven bicycles stand in the yard and are lent for up to ten days. The deposit is an identity card or forty
        euros.

        The cargo bicycle, which everybody calls Hippo, is lent by the hour, as removals are what it is wanted for.
        Whoever brings one back with a flat tyre mends it on the spot.""",
    "library.md": """# The shelf of manuals

        Manuals are sorted by maker, then by year. The rarest one, for a Pfeilring knitting machine, was typed by hand
        and may only be copied, never borrowed.

        Whoever finds a manual on the net prints it on both sides and puts the address on the last page.""",
    "radio.txt": """The radio evening

        Old radios are mended on Thursdays after six. Valves are tested on the Neuberger tester, whose scale reads
        backwards, and a set is never plugged in before its mains capacitor was looked at.

        Last year the group brought 58 sets back to life and gave up on nine.""",
    "sewing.txt": """The sewing room

        Five machines stand in the sewing room, two of them for leather. Needles are changed after each eight hours of
        work, and the old ones go into the jam jar.

        Curtains for the hall were sewn from sailcloth that Ilse Bramkamp had kept in her attic for thirty years.""",
    "garden.txt": """The yard garden

        The quince tree in the yard was planted for the workshop's tenth birthday. Its fruit becomes jelly in October,
        and a glass of it is the usual thanks for a talk.

        Rain water is gathered in a tank of 2600 litres under the stairs. It waters the beds until about midsummer.""",
    "insurance.txt": """Insurance

        Accidents in the workshop are covered by a policy with Nordlicht Mutual. A report has to be there within five
        days, so it is written on the evening itself.

        Tools that members bring along are not covered. They are marked with a dot of red paint and locked away.""",
    "keys.txt": """Keys and doors

        The front door has an electric lock since the break-in. The code is changed on each solstice and equinox and is
        told by word of mouth alone.

        The cellar is opened with the long key that hangs behind the portrait of Captain Lindqvist.""",
    "heating.txt": """Heating

        The boiler is set to nineteen degrees from November on. It is bled in the second week of September by whoever
        has lost the summer quiz, which has been Tomasz for four years running.

        The stove in the hall is lit at meetings only, with ash wood, as beech is too dear.""",
    "meetings.txt": """Meetings

        The yearly meeting is on the last Sunday of February. It needs 31 members to decide anything; below that it is
        held again two weeks later with whoever comes.

        Minutes are written by lot. Whoever draws the short match may name the cake for next time.""",
    "grinder.pdf": """The grinder

        Both wheels of the grinder are dressed on the first of a month.
        The left one is for steel, the right one for brass and bronze.

        The gap between wheel and rest is two millimetres at most.
        Spare wheels are bought from Ostermann and Daughters in Kiel.""",
    "loans.pdf": """Loans of tools

        Tools are lent for a week, and for two if nobody asks for them.
        The list hangs at the counter; a pencil is tied to it.

        The tool that was lent most often last year was the tile cutter.
        It went out 112 times and came back 111 times.""",
    "guests.pdf": """Guests

        Guests may use the workshop three times before they have to join.
        They sign the book with the green cover at their first visit.

        School classes come on Wednesday mornings with two grown-ups.
        The largest class so far had 34 children and broke nothing.""",
    "history.pdf": """How it began

        The workshop began in a former fish smokehouse in 1979.
        Its founder, Wilhelmine Asare, mended clocks for the harbour office.

        The smokehouse burnt down, and the sign over the door is all of it
        that is left. The fish on it has been painted over six times.""",
    "printer.pdf": """The large printer

        Posters are printed on rolls 610 millimetres wide.
        A metre costs one euro eighty, and black alone costs half.

        Its ink is kept in the fridge, in the drawer marked Not Butter.
        Whoever empties a cartridge orders two new ones.""",
}
CHINESE = {
    "茶水.md": """# 茶水间

        茶水间的热水器每周三上午清洗。清洗的时候请用走廊尽头的小水壶。

        茶叶由会员轮流购买，上个月买的是福建的白牡丹。杯子洗好以后倒扣在木架上。""",
    "陶艺.md": """# 陶艺课

        陶艺课每班最多收九名学员，由沈若兰老师授课。初学者先练习揉泥，再学拉坯。

        作品晾干至少要十二天，然后才能进窑。""",
    "木工.md": """# 木工房

        木工房的带锯只允许受过培训的人使用。培训在每月第二个星期五进行。

        木料主要是从临江造船厂买来的旧松木，价钱便宜，纹理也好看。""",
    "钟表.md": """# 钟表修理

        大厅里的落地钟每天慢四分钟，修了多次也没有修好。大家已经习惯了。

        怀表的零件放在贴着蓝色标签的抽屉里，共有一百六十三种。""",
    "安全.txt": """安全须知

        灭火器放在楼梯口和后门旁边，每半年检查一次，由消防员郝大勇负责。

        离开之前请检查窗户和煤气阀门。""",
    "展览.txt": """年度展览

        今年的展览主题是“旧船新生”，在码头仓库举行，为期十七天。

        展览期间，车间下午不开放，会员可以免费参观。""",
    "自行车.txt": """自行车维修

        内胎最多补三次，再破就要换新的。换下来的旧胎用来做花盆的垫子。

        去年一共修好了二百零八辆自行车，其中一半是儿童车。""",
    "图书.txt": """图书角

        图书角的书可以借六周，不需要登记。最受欢迎的一本是《木船构造图解》。

        破损的书由退休的装订工罗师傅修补。""",
    "厨房.txt": """公共厨房

        周五晚上大家一起做饭，拿手菜是梅干菜烧肉。做饭的人不用洗碗。

        冰箱里的东西请写上名字和日期，没有名字的东西周一清理。""",
    "电力.txt": """用电

        电焊机和空压机不能同时使用，否则总闸会跳。总闸在地下室的灰色铁箱里。

        去年的电费比前年少了百分之十四，因为换了节能灯。""",
}
QUESTIONS = [
    ("dues", "How much do members pay a month?", ["23 euros"], "dues.md"),
    ("lathe", "How wide can work on the lathe be, in millimetres?", ["310"], "lathe.md"),
    ("kiln", "Up to how many degrees do glaze firings go?", ["1240"], "kiln.md"),
    ("first-aid", "Who fills up the first aid box?", ["Marta Oyelaran", "Marta", "Oyelaran"], "first_aid.md"),
    ("waste", "Which firm collects the drum of oily rags?", ["Brightwater"], "waste.md"),
    ("cargo", "What is the cargo bicycle called?", ["Hippo"], "bicycles.md"),
    ("manual", "For which machine is the rarest manual?", ["Pfeilring"], "library.md"),
    ("radios", "How many radios did the group bring back to life last year?", ["58"], "radio.txt"),
    ("sailcloth", "Who kept the sailcloth for the curtains?", ["Ilse Bramkamp", "Ilse", "Bramkamp"], "sewing.txt"),
    ("tank", "How many litres does the rain water tank hold?", ["2600"], "garden.txt"),
    ("policy", "Which company insures accidents in the workshop?", ["Nordlicht Mutual", "Nordlicht"], "insurance.txt"),
    ("wheels", "From whom are spare wheels for the grinder bought?", ["Ostermann"], "grinder.pdf"),
    ("cutter", "Which tool was lent most often last year?", ["tile cutter"], "loans.pdf"),
    ("founder", "Who founded the workshop?", ["Wilhelmine Asare", "Wilhelmine", "Asare"], "history.pdf"),
    ("teacher", "陶艺课由哪位老师授课？", ["沈若兰"], "陶艺.md"),
    ("timber", "木工房的木料主要是从哪里买来的？", ["临江造船厂"], "木工.md"),
    ("fireman", "灭火器由谁负责检查？", ["郝大勇"], "安全.txt"),
    ("exhibition", "今年展览的主题是什么？", ["旧船新生"], "展览.txt"),
]
PLANTED = [
    ("boat", "What colour was the boat that Agnes sold painted?", ["turquoise"],
     "Agnes sold her boat in spring; it had been painted turquoise by her nephew.",
     ["Agnes thought of painting her shed in May.", "Her cousin sold a grey van in spring."]),
    ("train", "Which platform does the night train to Oslo leave from?", ["platform 14", "14"],
     "The night train to Oslo leaves from platform 14.", []),
]


def lines() -> list[dict]:
    """The twenty questions as the lines of the file."""
    found: list[dict] = [
        {"id": name, "question": asked, "answers": answers, "document": document,
         **({"language": "zh-Hans"} if document in CHINESE else {})}
        for name, asked, answers, document in QUESTIONS
    ]
    return found + [
        {"id": name, "question": asked, "answers": answers, "needle": needle,
         **({"distractors": distractors} if distractors else {})}
        for name, asked, answers, needle, distractors in PLANTED
    ]


def write(folder: Path) -> tuple[Path, Path]:
    """Writes both; returns the folder of documents and the file of questions."""
    documents, file = folder / "documents", folder / "questions.jsonl"
    documents.mkdir(parents=True)
    for name, text in {**ENGLISH, **CHINESE}.items():
        text = textwrap.dedent(f"        {text}")
        if name.endswith(".pdf"):
            _write_pdf(documents / name, text)
        else:
            (documents / name).write_text(f"{text}\n", encoding="utf-8")
    write_lines(file, lines())
    return documents, file


def write_lines(file: Path, content: list[dict]) -> None:
    file.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in content), encoding="utf-8")


def _write_pdf(path: Path, text: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure = pyplot.figure(figsize=(8, 5))
        figure.text(0.05, 0.95, text, va="top", fontsize=10)
        figure.savefig(path, metadata={"CreationDate": None})
        pyplot.close(figure)


if __name__ == "__main__":
    for place in write(Path(sys.argv[1])):
        print(place)
