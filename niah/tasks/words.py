"""Plain English nouns for needles: places for keys, things for answers. No word is in both."""

KEYS = tuple(
    """Lisbon Oslo Nairobi Kyoto Bogota Tallinn Havana Dublin Cairo Lima Quebec Hanoi Athens Krakow Perth
    Seville Tbilisi Montreal Zagreb Osaka Bergen Lagos Valencia Riga Porto Ghent Manila Salta Leipzig Kigali
    Malmo Genoa Bristol Odessa Medellin Accra Bilbao Calgary Dakar Essen Fukuoka Graz Hobart Izmir Jaipur
    Kazan Lucerne Mysore Nantes Ottawa Palermo Quito Rotterdam Sapporo Tampere Utrecht Vilnius Windhoek
    Xiamen Yerevan Zanzibar Adelaide Basel Cusco Durban Edmonton Florence Gdansk Halifax Innsbruck""".split()
)

WORDS = tuple(
    """umbrella violin lantern pumpkin cathedral walnut penguin trumpet saddle glacier almond harpoon
    blanket compass dolphin eyebrow feather giraffe hammock icicle jasmine kettle lobster mango napkin
    octopus parrot quilt raccoon sandal tulip unicorn velvet waffle yogurt zebra anchor bamboo candle
    daffodil elbow falcon garlic helmet iguana jacket kangaroo lemon mitten nutmeg otter papaya
    quiver ribbon spinach thimble urchin vinegar walrus acorn buckle cactus dragonfly eagle fiddle
    goblet hazelnut ivory jaguar kiwi ladder mustard necklace orchid pelican raisin scarf teapot
    vanilla whistle apron biscuit cinnamon dumpling emerald flamingo gazelle honeycomb jellyfish
    lavender marble noodle olive pepper radish saffron tortoise turnip vulture banjo clarinet
    chimney crocodile cucumber donkey ferret gondola hedgehog igloo juniper ketchup leopard meadow
    narwhal oyster pancake pistachio porcupine rhubarb sardine seagull sparrow squirrel
    tambourine toucan turquoise walkway wardrobe windmill zucchini""".split()
)
